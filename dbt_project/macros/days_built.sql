{#-
    A bound of this build's days, a date or none: the variable of this name, else the environment variable. `lifecycle`
    and Dagster use the environment, since dbt parses the whole project again (2 s) whenever its variables change.
-#}
{%- macro day_bound(name) -%}
    {%- set day = var(name) -%}
    {%- if not day and execute -%}
        {%- set day = env_var('LIFECYCLE_' ~ name | upper, '') or none -%}
    {%- endif -%}
    {%- do return(modules.datetime.datetime.strptime(day | string, '%Y-%m-%d') if day is not none else none) -%}
{%- endmacro -%}

{#- The days of this build: [start_date, end_date), with the start moved back by `look_back_days`. -#}
{%- macro days_built(column, look_back_days=0) -%}
    {%- set start = day_bound('start_date') -%}
    {%- set end = day_bound('end_date') -%}
    {%- set conditions = [] -%}
    {%- if start is not none -%}
        {%- set first = start - modules.datetime.timedelta(days=look_back_days) -%}
        {%- do conditions.append(column ~ ' >= ' ~ midnight(first.strftime('%Y-%m-%d'))) -%}
    {%- endif -%}
    {%- if end is not none -%}
        {%- do conditions.append(column ~ ' < ' ~ midnight(end.strftime('%Y-%m-%d'))) -%}
    {%- endif -%}
    {{- conditions | join(' and ') if conditions else 'true' -}}
{%- endmacro -%}
