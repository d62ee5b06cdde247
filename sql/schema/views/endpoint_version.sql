create or replace view postrider.endpoint_version as
select i.endpoint_version + (select count(*) from postrider.endpoint_change) as version
from postrider.installation as i;
comment on view postrider.endpoint_version is
    'One row: the version of the endpoints in this snapshot. Two snapshots with one version show the same endpoints, but for endpoints of '
    'templates that were added. Private.';
comment on column postrider.endpoint_version.version is 'Grows by one with every committed change.';
revoke all on postrider.endpoint_version from public;
grant select on postrider.endpoint_version to postrider_dispatcher;
