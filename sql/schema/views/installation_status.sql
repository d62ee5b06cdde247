create or replace view postrider.installation_status as
select i.name,
       i.code,
       postrider.why_not_at_home(i.name) as waits_because,
       i.move_expected_until
from postrider.installation as i;
comment on view postrider.installation_status is 'One row: which installation this is, and whether anything is sent from this database.';
comment on column postrider.installation_status.name is
    'What dispatchers must be told by --installation; null: nothing. A dispatcher that was told something else sends nothing.';
comment on column postrider.installation_status.code is 'Part of every webhook-id.';
comment on column postrider.installation_status.waits_because is
    'Why nothing is sent from this database until somebody calls postrider.adopt; null if it is at home.';
comment on column postrider.installation_status.move_expected_until is 'Until when a move is expected (postrider.expect_move); null: it is not.';
revoke all on postrider.installation_status from public;
grant select on postrider.installation_status to postrider_reader, postrider_dispatcher;
