-- What an empty Snowflake account needs: run it once in a worksheet, or with `snow sql -f setup.sql`, as a user who may
-- use the roles below. The script is idempotent: a further run only grants what is missing.
--
-- Before you run it: replace <PUBLIC KEY> with the service user's public key (see docs/snowflake.md), and read
-- the sizes and the quota. Other names than these: replace them here and in LIFECYCLE_SNOWFLAKE_*.
--
-- Roles hold no more than their step needs; `lifecycle warehouse check` compares what an account grants with that.

-- Roles and the user --------------------------------------------------------------------------------------------------

use role useradmin;

create role if not exists lifecycle_load comment = 'Loads raw rows; the only role beside lifecycle_fairness that sees protected attributes';
create role if not exists lifecycle_transform comment = 'dbt: reads raw, makes staging, intermediate and marts';
create role if not exists lifecycle_train comment = 'Extracts training sets from marts';
create role if not exists lifecycle_log comment = 'Loads the server''s decision log';
create role if not exists lifecycle_read comment = 'Reads everything but protected attributes';
create role if not exists lifecycle_fairness comment = 'The fairness gate: protected attributes and marts';

-- One user may hold all six roles, and each connection uses one: without secondary roles, or every session could read
-- what any of the roles may. To keep the fairness gate's key apart as well, make a second user that holds its role alone.
create user if not exists lifecycle
    type = service
    default_role = lifecycle_read
    default_warehouse = lifecycle_read_wh
    default_secondary_roles = ()
    rsa_public_key = '<PUBLIC KEY>'
    timezone = 'UTC'
    timestamp_type_mapping = 'TIMESTAMP_NTZ'
    comment = 'Orchestration of the model lifecycle';

-- Also where the user was there before.
alter user lifecycle set default_secondary_roles = ();

grant role lifecycle_load to user lifecycle;
grant role lifecycle_transform to user lifecycle;
grant role lifecycle_train to user lifecycle;
grant role lifecycle_log to user lifecycle;
grant role lifecycle_read to user lifecycle;
grant role lifecycle_fairness to user lifecycle;

-- Administrators look after what these roles own. Those that see protected attributes are left out on purpose.
grant role lifecycle_transform to role sysadmin;
grant role lifecycle_train to role sysadmin;
grant role lifecycle_log to role sysadmin;
grant role lifecycle_read to role sysadmin;

-- Virtual warehouses --------------------------------------------------------------------------------------------------

use role sysadmin;

-- Each start is billed for at least 60 seconds, and idle time until it suspends; so steps that run side by side and
-- need little share one. A warehouse's statement timeout and a session's hold both: the shorter one counts.
create warehouse if not exists lifecycle_load_wh
    warehouse_size = xsmall generation = '1' auto_suspend = 60 auto_resume = true initially_suspended = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 600
    comment = 'COPY INTO of raw rows';
create warehouse if not exists lifecycle_transform_wh
    warehouse_size = small generation = '1' auto_suspend = 60 auto_resume = true initially_suspended = true
    statement_timeout_in_seconds = 7200 statement_queued_timeout_in_seconds = 600
    comment = 'dbt';
create warehouse if not exists lifecycle_train_wh
    warehouse_size = xsmall generation = '1' auto_suspend = 60 auto_resume = true initially_suspended = true
    statement_timeout_in_seconds = 3600 statement_queued_timeout_in_seconds = 600
    comment = 'Training sets';
create warehouse if not exists lifecycle_read_wh
    warehouse_size = xsmall generation = '1' auto_suspend = 60 auto_resume = true initially_suspended = true
    statement_timeout_in_seconds = 900 statement_queued_timeout_in_seconds = 300
    comment = 'The decision log, monitoring, fairness, people';

grant usage on warehouse lifecycle_load_wh to role lifecycle_load;
grant usage on warehouse lifecycle_transform_wh to role lifecycle_transform;
grant usage on warehouse lifecycle_train_wh to role lifecycle_train;
grant usage on warehouse lifecycle_read_wh to role lifecycle_log;
grant usage on warehouse lifecycle_read_wh to role lifecycle_read;
grant usage on warehouse lifecycle_read_wh to role lifecycle_fairness;

-- Database and schemas ------------------------------------------------------------------------------------------------

create database if not exists lifecycle comment = 'Raw rows, features and decisions of risk models';

-- Managed access: only the schema's owner can grant a table to others, not the role that created it.
create schema if not exists lifecycle.raw with managed access comment = 'As loaded';
create schema if not exists lifecycle.protected with managed access comment = 'Protected attributes';
create schema if not exists lifecycle.staging with managed access comment = 'dbt: one view a raw table';
create schema if not exists lifecycle.intermediate with managed access comment = 'dbt: windows';
create schema if not exists lifecycle.marts with managed access comment = 'dbt: features and outcomes';

grant usage on database lifecycle to role lifecycle_load;
grant usage on database lifecycle to role lifecycle_transform;
grant usage on database lifecycle to role lifecycle_train;
grant usage on database lifecycle to role lifecycle_log;
grant usage on database lifecycle to role lifecycle_read;
grant usage on database lifecycle to role lifecycle_fairness;

-- Load: makes its tables and owns them; scratch tables and temporary stages are made in `raw`.
grant usage, create table, create stage on schema lifecycle.raw to role lifecycle_load;
grant usage, create table on schema lifecycle.protected to role lifecycle_load;

-- Decision log: likewise, and sees nothing that it has not made.
grant usage, create table, create stage on schema lifecycle.raw to role lifecycle_log;

-- dbt.
grant usage on schema lifecycle.raw to role lifecycle_transform;
grant usage, create table, create view on schema lifecycle.staging to role lifecycle_transform;
grant usage, create table, create view on schema lifecycle.intermediate to role lifecycle_transform;
grant usage, create table, create view on schema lifecycle.marts to role lifecycle_transform;
grant select on future tables in schema lifecycle.raw to role lifecycle_transform;

-- Training sets.
grant usage on schema lifecycle.marts to role lifecycle_train;
grant select on future tables in schema lifecycle.marts to role lifecycle_train;

-- Monitoring, demonstrations, people.
grant usage on schema lifecycle.raw to role lifecycle_read;
grant usage on schema lifecycle.staging to role lifecycle_read;
grant usage on schema lifecycle.intermediate to role lifecycle_read;
grant usage on schema lifecycle.marts to role lifecycle_read;
grant select on future tables in schema lifecycle.raw to role lifecycle_read;
grant select on future views in schema lifecycle.staging to role lifecycle_read;
grant select on future tables in schema lifecycle.intermediate to role lifecycle_read;
grant select on future tables in schema lifecycle.marts to role lifecycle_read;

-- The fairness gate: besides it, only the role that loads `protected` has any grant there.
grant usage on schema lifecycle.protected to role lifecycle_fairness;
grant usage on schema lifecycle.marts to role lifecycle_fairness;
grant select on future tables in schema lifecycle.protected to role lifecycle_fairness;
grant select on future tables in schema lifecycle.marts to role lifecycle_fairness;

-- The same for tables that are there already, when this script is run on a database that has been in use.
grant select on all tables in schema lifecycle.raw to role lifecycle_transform;
grant select on all tables in schema lifecycle.marts to role lifecycle_train;
grant select on all tables in schema lifecycle.raw to role lifecycle_read;
grant select on all views in schema lifecycle.staging to role lifecycle_read;
grant select on all tables in schema lifecycle.intermediate to role lifecycle_read;
grant select on all tables in schema lifecycle.marts to role lifecycle_read;
grant select on all tables in schema lifecycle.protected to role lifecycle_fairness;
grant select on all tables in schema lifecycle.marts to role lifecycle_fairness;

-- A bound on what the virtual warehouses may cost; automatic clustering and storage are billed apart ------------------

use role accountadmin;

create resource monitor if not exists lifecycle_monitor
    with credit_quota = 100 frequency = monthly start_timestamp = immediately
    triggers on 75 percent do notify
    on 100 percent do suspend
    on 110 percent do suspend_immediate;

alter warehouse lifecycle_load_wh set resource_monitor = lifecycle_monitor;
alter warehouse lifecycle_transform_wh set resource_monitor = lifecycle_monitor;
alter warehouse lifecycle_train_wh set resource_monitor = lifecycle_monitor;
alter warehouse lifecycle_read_wh set resource_monitor = lifecycle_monitor;
