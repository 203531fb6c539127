//! `kya drill schedule`: drills that are due again and again.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{MaybeWhy, RunDrill};
use crate::values::{parse_cron, parse_interval, parse_schedule_name, parse_time_zone};

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Have the control plane run a drill again and again
    #[command(after_help = "\
--cron is five fields: minute, hour, day of the month, month, day of the week, by the clock of
--time-zone. Of several servers one begins a drill. What has not begun within --window, or when
the next is due, is missed: it is on record, and not run late. --every is a continuous canary, one
stop and one restoration each time; how long the last rejection took is a metric.

A schedule of which no drill passes when one was due is a problem in `kya status`.

Examples:
  kya drill schedule add quarterly --cron '0 9 1 1,4,7,10 *' --time-zone Europe/Berlin \\
    --window 4h --probe payments=http://10.0.0.7:8080/health --p99 1s
  kya drill schedule add canary --every 5m --rate 200 --probe http://10.0.0.7:8080/health")]
    Add(Box<AddSchedule>),
    /// List schedules
    #[command(after_help = "\
Example:
  kya drill schedule list
  kya -o json drill schedule list | jq -r '.schedules[] | select(.overdue_since).name'")]
    List,
    /// Show a schedule, and what became of its drills
    #[command(after_help = "\
Example:
  kya drill schedule show quarterly")]
    Show {
        /// Its name
        #[arg(value_parser = parse_schedule_name)]
        name: String,
        /// So many of the last times at which one was due
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Have none of its drills begin until it is resumed
    #[command(after_help = "\
A drill that goes on is not ended: `kya drill stop` does that. A paused schedule is never overdue.

Example:
  kya drill schedule pause canary --reason maintenance_of_payments")]
    Pause {
        /// Its name
        #[arg(value_parser = parse_schedule_name)]
        name: String,
        #[command(flatten)]
        maybe: MaybeWhy,
    },
    /// End a pause
    #[command(after_help = "\
What was due meanwhile is not run.

Example:
  kya drill schedule resume canary")]
    Resume {
        /// Its name
        #[arg(value_parser = parse_schedule_name)]
        name: String,
        #[command(flatten)]
        maybe: MaybeWhy,
    },
    /// Remove a schedule; its drills stay in `kya drill list`
    #[command(after_help = "\
Example:
  kya drill schedule remove canary --reason replaced_by_canary_eu")]
    Remove {
        /// Its name
        #[arg(value_parser = parse_schedule_name)]
        name: String,
        #[command(flatten)]
        maybe: MaybeWhy,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddSchedule {
    /// What it is to be called: up to 64 letters, digits and `._-~`
    #[arg(value_parser = parse_schedule_name)]
    pub(crate) name: String,
    /// When a drill is due: minute, hour, day of the month, month, day of the week
    #[arg(long, required_unless_present = "every", value_name = "FIELDS")]
    #[arg(value_parser = parse_cron)]
    pub(crate) cron: Option<String>,
    /// The time zone of --cron, by its name in the IANA database; UTC if none is named
    #[arg(long, requires = "cron", value_name = "NAME", value_parser = parse_time_zone)]
    pub(crate) time_zone: Option<String>,
    /// A continuous canary: one stop each time, from every 1m to every 24h
    #[arg(long, conflicts_with_all = ["cron", "time_zone", "samples"], value_name = "TIME")]
    #[arg(value_parser = parse_interval)]
    pub(crate) every: Option<Duration>,
    /// How long after it is due a drill may begin, from 1m to 24h; 1h if not said, and of
    /// --every that time
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    pub(crate) window: Option<Duration>,
    #[command(flatten)]
    pub(crate) drill: RunDrill,
}
