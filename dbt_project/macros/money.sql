{#-
    Amounts are summed as whole cents, which is exact in any order, even where a sum of decimals is a double, and as fast.
    A cent is one hundredth of a unit, the scale of decimal(12, 2).
-#}
{%- macro cents(amount) -%}
    cast({{ amount }} * 100 as bigint)
{%- endmacro -%}

{#- An amount in cents as the nearest double in units. -#}
{%- macro in_units(cents) -%}
    (cast({{ cents }} as double) / 100)
{%- endmacro -%}
