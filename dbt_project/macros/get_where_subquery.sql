{#-
    Replaces dbt's macro of this name: a test with `where: __days_built__` reads only the days of this build, so that
    testing one more day costs one day. Earlier days were tested when they were built. The day is that of the model's
    `event_at` in its `meta`, by default `occurred_at`.
-#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if where == '__days_built__' -%}
        {%- set tested = graph.nodes.get(model.attached_node) if execute else none -%}
        {%- set event_at = tested.config.meta.get('event_at', 'occurred_at') if tested else 'occurred_at' -%}
        {%- set where = '' if days_built(event_at) == 'true' else days_built(event_at) -%}
    {%- endif -%}
    {%- if where -%}
        {%- do return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') dbt_subquery') -%}
    {%- endif -%}
    {%- do return(relation) -%}
{%- endmacro %}
