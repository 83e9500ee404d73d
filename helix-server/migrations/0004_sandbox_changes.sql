-- What of a sandbox changes after it was made, beside its name and policy; absent where it
-- is as it was made with.

-- JSON of its limits.
ALTER TABLE sandboxes ADD COLUMN limits TEXT;
-- JSON of when it is stopped although nobody asks.
ALTER TABLE sandboxes ADD COLUMN times TEXT;
