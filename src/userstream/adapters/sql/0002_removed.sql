-- Up to which sequence the records of an account were removed to make room: who reads on from below it must be told.
CREATE TABLE removed (
    account TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

DROP TABLE meta;
