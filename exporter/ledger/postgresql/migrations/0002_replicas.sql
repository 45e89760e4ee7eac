CREATE TABLE videotask.leases (  -- which replica polls a provider; its commits are fenced by the epoch
    provider text COLLATE "C" PRIMARY KEY,
    holder text,                      -- the id of a replica; NULL once it has released the lease
    epoch bigint NOT NULL DEFAULT 0,  -- grows each time the lease is acquired
    expires timestamptz
) WITH (fillfactor = 50);

CREATE TABLE videotask.replicas (  -- a process that runs, or has ended a short while ago without a word
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    known text NOT NULL,         -- a digest of the providers: most replicas have the same ones
    providers text[] NOT NULL,   -- those of its configuration
    expires timestamptz NOT NULL
) WITH (fillfactor = 50);
