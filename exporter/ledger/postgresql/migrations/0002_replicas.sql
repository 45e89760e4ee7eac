CREATE TABLE videotask.leases (  -- which replica polls a provider; its commits are fenced by the epoch
    provider text COLLATE "C" PRIMARY KEY,
    holder text,
    epoch bigint NOT NULL DEFAULT 0,  -- grows with each change of holder
    expires timestamptz
) WITH (fillfactor = 50);

CREATE TABLE videotask.replicas (
    name text COLLATE "C" PRIMARY KEY,
    seen timestamptz NOT NULL
) WITH (fillfactor = 50);
