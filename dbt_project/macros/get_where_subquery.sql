{#-
    Replaces dbt's macro of this name: a test with `where: __days_built__` reads only the days of this build, so that
    testing one more day costs one day. Earlier days were tested when they were built.
-#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if where == '__days_built__' -%}
        {%- set where = '' if days_built('occurred_at') == 'true' else days_built('occurred_at') -%}
    {%- endif -%}
    {%- if where -%}
        {%- do return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') dbt_subquery') -%}
    {%- endif -%}
    {%- do return(relation) -%}
{%- endmacro %}
