{#-
    Incremental strategy `days`: the days of this build are deleted and inserted in one transaction, so that a row that
    was removed from the source is removed here, too (delete+insert by key would keep it). A model whose `meta` has
    `look_back_days` also replaces that many days before them; one whose time of the event is not `occurred_at` names it
    as `event_at`.
-#}
{% macro get_incremental_days_sql(arg_dict) %}
    {{- return(adapter.dispatch('get_incremental_days_sql')(arg_dict)) -}}
{% endmacro %}

{#- dbt-duckdb runs a model's statements in one transaction. -#}
{% macro default__get_incremental_days_sql(arg_dict) %}
    {%- set meta = config.get('meta') or {} -%}
    {%- set event_at = meta.get('event_at', 'occurred_at') -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ days_built(event_at, look_back_days=meta.get('look_back_days', 0)) }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    (
        select {{ columns }}
        from {{ arg_dict['temp_relation'] }}
    )
{% endmacro %}

{#- Snowflake commits each statement by default. -#}
{% macro snowflake__get_incremental_days_sql(arg_dict) %}
    {{- snowflake_dml_explicit_transaction(default__get_incremental_days_sql(arg_dict)) -}}
{% endmacro %}

{#-
    Names the table of new rows by their days, since all sessions see it: builds of different days never share one, and
    the table of a killed build is replaced and dropped when its days are built again.
-#}
{% macro snowflake__resolve_incremental_tmp_relation(tmp_relation) %}
    {%- set days = [] -%}
    {%- for name in ['start_date', 'end_date'] -%}
        {%- set day = day_bound(name) -%}
        {%- do days.append(day.strftime('%Y%m%d') if day is not none else 'all') -%}
    {%- endfor -%}
    {%- set identifier = tmp_relation.identifier ~ '_' ~ days | join('_') -%}
    {{- return(tmp_relation.incorporate(path={'identifier': identifier})) -}}
{% endmacro %}
