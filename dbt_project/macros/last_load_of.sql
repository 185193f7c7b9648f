{#-
    Time of the last load that inserted rows into a raw table, 1970 if there was none; loading a known file again does not
    count.
-#}
{%- macro last_load_of(relation) -%}
    select coalesce(max(loaded_at), {{ midnight('1970-01-01') }}) as loaded_at
    from {{ relation.incorporate(path={'identifier': 'loads'}) }}
    where relation = '{{ relation.identifier }}'
{%- endmacro -%}
