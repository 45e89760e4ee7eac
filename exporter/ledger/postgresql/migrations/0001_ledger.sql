CREATE TABLE videotask.feeds (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    since double precision,    -- when the first complete sweep ended
    horizon double precision,  -- what ended before this is not counted any more
    polled double precision,   -- when the last successful sweep ended
    version bigint NOT NULL DEFAULT 0,  -- grows with each commit: one that was given up may still come after another
    UNIQUE (provider, kind)
) WITH (fillfactor = 50);

CREATE TABLE videotask.tasks (
    feed integer NOT NULL REFERENCES videotask.feeds,
    id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    first_seen double precision NOT NULL,
    changed double precision NOT NULL,
    appeared boolean NOT NULL,
    reason text,
    progress double precision,
    submitted double precision,
    started double precision,
    ended double precision,
    dated double precision,
    seen_started double precision,
    seen_ended double precision,
    output_seconds double precision,
    missing integer NOT NULL,
    said text NOT NULL,
    model text NOT NULL,
    told text NOT NULL,
    placed double precision,   -- the date of an ended task; NULL while in flight
    is_end boolean NOT NULL,
    PRIMARY KEY (feed, id)
) WITH (fillfactor = 80);
CREATE INDEX tasks_placed ON videotask.tasks (feed, placed, id) WHERE is_end;
CREATE INDEX tasks_in_flight ON videotask.tasks (feed) WHERE NOT is_end;

CREATE TABLE videotask.counts (
    feed integer NOT NULL REFERENCES videotask.feeds,
    key text COLLATE "C" NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (feed, key)
) WITH (fillfactor = 50);

CREATE TABLE videotask.steps (  -- what was seen of a task and when: its states, and the tenths of its progress
    feed integer NOT NULL REFERENCES videotask.feeds,
    id text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    state text NOT NULL,
    progress double precision,
    PRIMARY KEY (feed, id, at)
);
CREATE INDEX steps_at ON videotask.steps (feed, at);

CREATE TABLE videotask.watched (  -- ids to follow that no file and no setting names
    feed integer NOT NULL REFERENCES videotask.feeds,
    id text COLLATE "C" NOT NULL,
    at double precision NOT NULL,  -- when it was asked for
    PRIMARY KEY (feed, id)
);

CREATE TABLE videotask.tokens (
    owner text COLLATE "C" PRIMARY KEY,
    token text NOT NULL,
    expires double precision NOT NULL
);

CREATE TABLE videotask.budgets (  -- the requests that a provider was sent, as its budget writes them down
    provider text COLLATE "C" PRIMARY KEY,
    spent text NOT NULL
) WITH (fillfactor = 50);
