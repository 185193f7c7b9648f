{#-
    When a raw table had its last load that brought rows, 1970 if it had none; a file that was known already is no load.
-#}
{%- macro last_load_of(relation) -%}
    select coalesce(max(loaded_at), {{ midnight('1970-01-01') }}) as loaded_at
    from {{ relation.incorporate(path={'identifier': 'loads'}) }}
    where relation = '{{ relation.identifier }}'
{%- endmacro -%}
