-- The distance of Levenshtein: how many letters have to be put, taken or changed.
create or replace function postrider.nearest_name(word text, names text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    name     text;
    nearest  text;
    best     integer := case when char_length(word) < 4 then 2 else greatest(char_length(word) / 3, 2) + 1 end;
    row_of   integer[];
    before   integer[];
begin
    foreach name in array names loop
        continue when abs(char_length(name) - char_length(word)) >= best;
        row_of := array(select n from generate_series(0, char_length(name)) as n);
        for i in 1 .. char_length(word) loop
            before := row_of;
            row_of[1] := i;
            for j in 1 .. char_length(name) loop
                row_of[j + 1] := least(before[j + 1] + 1, row_of[j] + 1, before[j]
                    + case when lower(substr(word, i, 1)) = lower(substr(name, j, 1)) then 0 else 1 end);
            end loop;
        end loop;
        if row_of[char_length(name) + 1] < best then
            best := row_of[char_length(name) + 1];
            nearest := name;
        end if;
    end loop;
    return nearest;
end
$$;
comment on function postrider.nearest_name(text, text[]) is
    'Returns which of the names was probably meant by a misspelt one; null: none is near. Private.';
revoke all on function postrider.nearest_name(text, text[]) from public;
grant execute on function postrider.nearest_name(text, text[]) to postrider_dispatcher;
