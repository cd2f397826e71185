-- What is remembered of a connection's health is some 2.5 KB, and is written whenever somebody came: compressing it took longer than all else
-- about writing it. Rows of up to a page stay as they are.
ALTER TABLE connection_health SET (toast_tuple_target = 8160);
