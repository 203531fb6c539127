-- Drills that are due again and again, and what became of each time that one was.
CREATE TABLE drill_schedules (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    created_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT,
    address TEXT,
    -- Either a cron expression in a time zone, or seconds.
    cron TEXT CHECK (length(cron) <= 256),
    time_zone TEXT CHECK (length(time_zone) <= 64),
    every_s BIGINT CHECK (every_s > 0),
    -- How long after it is due a drill may begin.
    window_s BIGINT NOT NULL CHECK (window_s > 0),
    request TEXT NOT NULL,
    paused_us BIGINT,
    paused_by TEXT,
    -- When the next one is due that nothing has become of.
    next_us BIGINT NOT NULL,
    -- Since when one that passes is owed: since it was made or resumed, or the last one that
    -- passed was due.
    owed_us BIGINT NOT NULL,
    -- When the last one ended that passed.
    passed_us BIGINT,
    CHECK ((cron IS NULL) = (every_s IS NOT NULL)),
    CHECK ((cron IS NULL) = (time_zone IS NULL)),
    CHECK ((paused_us IS NULL) = (paused_by IS NULL))
);

-- What became of each time that a drill was due: there is one at the most.
CREATE TABLE drill_schedule_runs (
    schedule TEXT NOT NULL REFERENCES drill_schedules (name),
    due_us BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('started', 'missed', 'skipped', 'refused')),
    -- The one that was started.
    drill BYTEA REFERENCES drills (id) CHECK (length(drill) = 16),
    -- Why none was.
    why TEXT,
    -- The server that says so.
    server TEXT NOT NULL,
    PRIMARY KEY (schedule, due_us),
    CHECK ((outcome = 'started') = (drill IS NOT NULL))
);
CREATE INDEX drill_schedule_runs_by_drill ON drill_schedule_runs (drill);
