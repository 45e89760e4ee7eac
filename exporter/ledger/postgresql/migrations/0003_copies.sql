CREATE TABLE videotask.copies (  -- the ledger that migrate-ledger has copied here, or has begun to
    source text PRIMARY KEY,  -- a digest of what it held
    position text NOT NULL,   -- the table and the key of the last row that is here
    done boolean NOT NULL
);
