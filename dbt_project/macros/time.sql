{#- Whole microseconds since 1970. Integers, since a frame over timestamps is 50 % slower. -#}
{%- macro microseconds(timestamp) -%}
    {{- return(adapter.dispatch('microseconds')(timestamp)) -}}
{%- endmacro -%}

{%- macro duckdb__microseconds(timestamp) -%}
    epoch_us({{ timestamp }})
{%- endmacro -%}

{%- macro snowflake__microseconds(timestamp) -%}
    date_part(epoch_microsecond, {{ timestamp }})
{%- endmacro -%}

{#- Day of the week, Monday 0 to Sunday 6, of times since 1900, which began on a Monday; independent of the session's week. -#}
{%- macro weekday(timestamp) -%}
    mod(cast({{ timestamp }} as date) - cast('1900-01-01' as date), 7)
{%- endmacro -%}

{%- macro days_in_microseconds(days) -%}
    {{- days * 86400000000 -}}
{%- endmacro -%}

{#- Midnight in UTC of a day written as text. Both dialects accept the type's long name; in Snowflake, the meaning of
    `timestamp` alone depends on the session. -#}
{%- macro midnight(day) -%}
    cast('{{ day }}' as timestamp without time zone)
{%- endmacro -%}
