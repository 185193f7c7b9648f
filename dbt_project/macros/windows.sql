{#-
    Window (t - w, t) of a customer over `occurred_us`: what happened before the current microsecond. The transactions of the same
    microsecond up to the current one are added by their own running sums, however many there are.
-#}
{%- macro customer_window(days) -%}
    partition by customer_id
            order by occurred_us
            range between {{ days * 86400000000 - 1 }} preceding and 1 preceding
{%- endmacro -%}

{#- The transactions of a customer in one microsecond, in the order of their ids, up to the current one. -#}
{%- macro customer_moment() -%}
    partition by transactions.customer_id, transactions.occurred_at
            order by transactions.transaction_id
            rows between unbounded preceding and current row
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
