-- The rows of an account are found by an index of their places, which is extended for thousands of rows at once, in the order of the index: a
-- row that comes touches no page of its own for each account. What lies above `placed` is found by reading those rows.
CREATE TABLE rows_of_journal (
    position INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    first_received INTEGER NOT NULL,
    last_received INTEGER NOT NULL,
    records INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

INSERT INTO rows_of_journal
SELECT position, account, first_sequence, last_sequence, first_received, last_received, records, data FROM journal ORDER BY position;

DROP TABLE journal;

ALTER TABLE rows_of_journal RENAME TO journal;

CREATE TABLE places (
    account TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (account, first_sequence, position)
) STRICT, WITHOUT ROWID;

INSERT INTO places (account, first_sequence, position)
SELECT account, first_sequence, position FROM journal ORDER BY account, first_sequence, position;

-- Up to which row of the journal all have their place in the index: one row.
CREATE TABLE placed (
    position INTEGER NOT NULL
) STRICT;

INSERT INTO placed SELECT coalesce(max(position), 0) FROM journal;
