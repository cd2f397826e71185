-- What waited for somebody and never became active is told apart from what was active once. Twin: ../postgres/0026_dropped.sql.
-- Whatever was active has lost its reason when it was superseded; what was held has kept it.
UPDATE activations SET state = 'dropped' WHERE state = 'superseded' AND reason IS NOT NULL;
