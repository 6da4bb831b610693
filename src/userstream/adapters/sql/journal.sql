-- Writing and reading the journal, its checkpoints, and making room.

-- name: add_rows
INSERT INTO journal (position, account, first_sequence, last_sequence, first_received, last_received, records, data) VALUES {rows};

-- name: read_row_head
SELECT account, first_sequence, records FROM journal WHERE position = ?;

-- name: read_newest_position
SELECT coalesce(max(position), 0) FROM journal;

-- Where the next so many rows end that have no place yet; how many there are.
-- name: read_unplaced
SELECT max(position), count(*) FROM (
    SELECT position FROM journal WHERE position > (SELECT position FROM placed) ORDER BY position LIMIT ?
);

-- In the order of the index: the rows of an account meet one page of it together. A portion that was begun and not finished left some there.
-- name: place_next
INSERT OR IGNORE INTO places (account, first_sequence, position)
SELECT account, first_sequence, position FROM journal
WHERE position > (SELECT position FROM placed) AND position <= ?
ORDER BY account, first_sequence, position;

-- name: place_rows
INSERT OR IGNORE INTO places (account, first_sequence, position)
SELECT account, first_sequence, position FROM journal WHERE position IN (SELECT value FROM json_each(?));

-- name: move_placed
UPDATE placed SET position = ?;

-- Jumps from account to account in the index, so that a long journal costs no more than a short one.
-- name: read_accounts
WITH RECURSIVE found (account) AS (
    SELECT min(account) FROM places
    UNION ALL
    SELECT (SELECT min(account) FROM places WHERE account > found.account) FROM found WHERE found.account IS NOT NULL
)
SELECT account FROM found WHERE account IS NOT NULL
UNION
SELECT account FROM journal WHERE position > (SELECT position FROM placed)
UNION
SELECT account FROM checkpoints
ORDER BY account;

-- name: read_last_sequence
SELECT max(
    coalesce(
        (SELECT last_sequence FROM places JOIN journal USING (position)
         WHERE places.account = :account ORDER BY places.first_sequence DESC LIMIT 1), 0
    ),
    coalesce((SELECT max(last_sequence) FROM journal WHERE position > (SELECT position FROM placed) AND account = :account), 0),
    coalesce((SELECT sequence FROM checkpoints WHERE account = :account), 0)
);

-- name: read_after
SELECT position, data FROM journal WHERE position > :row OR (position = :row AND records > :index + 1) ORDER BY position;

-- name: read_packed_after
SELECT position, records, first_received, data FROM journal
WHERE position > :row OR (position = :row AND records > :index + 1)
ORDER BY position;

-- name: read_before
SELECT position, data FROM journal WHERE position < :row OR (position = :row AND :index > 0) ORDER BY position DESC;

-- How many records are left to read, as far as that can be said in a moment.
-- name: count_after
SELECT coalesce(sum(records), 0) FROM (SELECT records FROM journal WHERE position > ? ORDER BY position LIMIT ?);

-- name: read_account_after
SELECT journal.position, journal.data, places.first_sequence FROM places JOIN journal USING (position)
WHERE places.account = :account AND position <= (SELECT position FROM placed)
  AND places.first_sequence >= coalesce(
      (SELECT max(first_sequence) FROM places WHERE account = :account AND first_sequence <= :after), 0
  )
  AND last_sequence > :after
UNION ALL
SELECT position, data, first_sequence FROM journal
WHERE position > (SELECT position FROM placed) AND account = :account AND last_sequence > :after
ORDER BY first_sequence;

-- name: save_checkpoint
INSERT INTO checkpoints (account, sequence, data) VALUES (?, ?, ?)
ON CONFLICT (account) DO UPDATE SET sequence = excluded.sequence, data = excluded.data WHERE excluded.sequence >= checkpoints.sequence;

-- name: load_checkpoint
SELECT sequence, data FROM checkpoints WHERE account = ?;

-- Only what every reader has passed, a checkpoint of the account replaces, and is not the newest row (the next position is counted from it).
-- name: find_removable
SELECT position, length(journal.data) FROM journal JOIN checkpoints USING (account)
WHERE position < (SELECT max(position) FROM journal)
  AND position < coalesce((SELECT min(position) >> 20 FROM cursors), (SELECT max(position) FROM journal))
  AND last_sequence <= checkpoints.sequence
  AND last_received < :older_than
ORDER BY position
LIMIT :most;

-- name: note_removed
INSERT INTO removed (account, sequence)
SELECT account, max(last_sequence) FROM journal WHERE position IN (SELECT value FROM json_each(?)) GROUP BY account
ON CONFLICT (account) DO UPDATE SET sequence = max(sequence, excluded.sequence);

-- name: read_removed
SELECT coalesce((SELECT sequence FROM removed WHERE account = ?), 0);

-- name: remove_places
DELETE FROM places WHERE (account, first_sequence, position) IN (
    SELECT account, first_sequence, position FROM journal WHERE position IN (SELECT value FROM json_each(?))
);

-- name: remove_rows
DELETE FROM journal WHERE position IN (SELECT value FROM json_each(?));
