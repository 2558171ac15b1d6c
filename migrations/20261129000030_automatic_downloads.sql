-- Nobody asked for it: it comes because it is followed, and waits for a better moment where there is little power, say.
ALTER TABLE download ADD COLUMN automatic INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1));
