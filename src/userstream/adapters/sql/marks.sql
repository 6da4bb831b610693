-- The mark of a reader that keeps its position elsewhere: how far the journal is needed no more by it. A mark's name is `KIND:NAME`, and the
-- name is also that of the journal where the reader keeps its position. All by :kind.

-- name: read_mark
SELECT reader, position FROM cursors WHERE substr(reader, 1, length(:kind) + 1) = :kind || ':' LIMIT 1;

-- name: add_mark
INSERT INTO cursors (reader, position) VALUES (:kind || ':' || :name, 0);

-- From here on nothing is removed until the reader has said again how far it is.
-- name: hold_mark
UPDATE cursors SET position = 0 WHERE substr(reader, 1, length(:kind) + 1) = :kind || ':' AND position = :released;

-- name: rename_mark
UPDATE cursors SET reader = :kind || ':' || :name, position = :begins WHERE substr(reader, 1, length(:kind) + 1) = :kind || ':';
