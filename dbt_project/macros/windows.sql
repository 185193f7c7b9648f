{#-
    Position of a transaction among those of its customer: a whole number that orders by time and, within one microsecond,
    by the rank of the id. A microsecond is `slots_of_a_moment()` places wide and ranks use the lower half of them, so that a
    frame that begins half a microsecond late excludes every transaction of exactly w ago, whatever its rank.
    64 bits hold places until the year 2255; tests/assert_ties_fit_their_moment.sql checks that the ranks stay in their half.
-#}
{%- macro slots_of_a_moment() -%}
    {{- return(1024) -}}
{%- endmacro -%}

{%- macro place(timestamp, tied_rank) -%}
    {{ microseconds(timestamp) }} * {{ slots_of_a_moment() }} + {{ tied_rank }}
{%- endmacro -%}

{#- Window (t - w, t] of a customer over `place`: the current transaction and those before it. -#}
{%- macro customer_window(days) -%}
    partition by customer_id
            order by place
            range between {{ days * 86400000000 * slots_of_a_moment() - slots_of_a_moment() // 2 }} preceding and current row
{%- endmacro -%}

{#- Window (t - 7 d - w, t - 7 d] of a terminal over `occurred_us`: transactions whose reports are due. -#}
{%- macro delayed_terminal_window(days) -%}
    partition by terminal_id
            order by occurred_us
            range between {{ (days + report_delay_days()) * 86400000000 - 1 }} preceding
            and {{ report_delay_days() * 86400000000 }} preceding
{%- endmacro -%}

{#- A transaction counts in its terminal's windows this long after it happened. -#}
{%- macro report_delay_days() -%}
    {{- return(7) -}}
{%- endmacro -%}
