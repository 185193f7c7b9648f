{#-
    A derived feature of a model as a column: the SQL of its expression over the columns of the `from` clause, which are
    named as the fields that the expression reads. `lifecycle` sets the variable LIFECYCLE_DERIVED_<MODEL> from the
    model's file, and compiles the same expression for the server, so that training and serving never differ. Numbers
    are doubles, an int is a bigint.
-#}
{%- macro derived(model, feature) -%}
    {%- if not execute -%}
        null
    {%- else -%}
        {%- set columns = fromjson(env_var('LIFECYCLE_DERIVED_' ~ model | upper, '{}')) -%}
        {%- if feature not in columns -%}
            {%- do exceptions.raise_compiler_error(
                "Expected one of the derived features " ~ columns | list ~ " of the model " ~ model ~ ", got " ~ feature
                ~ "; declare it in the model's file, which `lifecycle check` reads"
            ) -%}
        {%- endif -%}
        {{- columns[feature] -}}
    {%- endif -%}
{%- endmacro -%}
