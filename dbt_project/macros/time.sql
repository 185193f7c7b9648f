{#- Whole microseconds since 1970. Integers, since a frame over timestamps costs half as much again. -#}
{%- macro microseconds(timestamp) -%}
    {{- return(adapter.dispatch('microseconds')(timestamp)) -}}
{%- endmacro -%}

{%- macro duckdb__microseconds(timestamp) -%}
    epoch_us({{ timestamp }})
{%- endmacro -%}

{%- macro snowflake__microseconds(timestamp) -%}
    date_part(epoch_microsecond, {{ timestamp }})
{%- endmacro -%}

{#- Day of the week, Monday 1 to Sunday 7. -#}
{%- macro iso_weekday(timestamp) -%}
    {{- return(adapter.dispatch('iso_weekday')(timestamp)) -}}
{%- endmacro -%}

{%- macro duckdb__iso_weekday(timestamp) -%}
    isodow({{ timestamp }})
{%- endmacro -%}

{%- macro snowflake__iso_weekday(timestamp) -%}
    dayofweekiso({{ timestamp }})
{%- endmacro -%}

{%- macro days_in_microseconds(days) -%}
    {{- days * 86400000000 -}}
{%- endmacro -%}
