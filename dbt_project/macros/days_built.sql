{#- The days of this build: [start_date, end_date) of the variables, moved back by `look_back_days` at their start. -#}
{%- macro days_built(column, look_back_days=0) -%}
    {%- set conditions = [] -%}
    {%- if var('start_date') is not none -%}
        {%- set start = modules.datetime.datetime.strptime(var('start_date') | string, '%Y-%m-%d') -%}
        {%- set first = start - modules.datetime.timedelta(days=look_back_days) -%}
        {%- do conditions.append(column ~ " >= cast('" ~ first.strftime('%Y-%m-%d') ~ "' as timestamp)") -%}
    {%- endif -%}
    {%- if var('end_date') is not none -%}
        {%- set end = modules.datetime.datetime.strptime(var('end_date') | string, '%Y-%m-%d') -%}
        {%- do conditions.append(column ~ " < cast('" ~ end.strftime('%Y-%m-%d') ~ "' as timestamp)") -%}
    {%- endif -%}
    {{- conditions | join(' and ') if conditions else 'true' -}}
{%- endmacro -%}
