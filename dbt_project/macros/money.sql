{#-
    Amounts are summed as whole cents: exact in any order, also where a sum of decimals comes out as a double, and as fast.
    A cent has one hundredth of a unit, as decimal(12, 2) has.
-#}
{%- macro cents(amount) -%}
    cast({{ amount }} * 100 as bigint)
{%- endmacro -%}

{#- The double that is nearest to as many cents, in units. -#}
{%- macro in_units(cents) -%}
    (cast({{ cents }} as double) / 100)
{%- endmacro -%}
