//! How many files a process may have open: each connection is one.

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are none of the many connections.
const OTHERS: u64 = 200;

/// Raises the limit of this process, and of those that it starts, as far as it may be raised.
///
/// # Errors
/// When so many connections are too many all the same.
pub(crate) fn make_room(connections: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised)?;
    judge(connections, limit.maximum)
}

/// Nothing is no limit.
fn judge(connections: usize, most: Option<u64>) -> Result<()> {
    let wanted = connections as u64 + OTHERS;
    match most.filter(|most| *most < wanted) {
        Some(most) => bail!(
            "{connections} connections in one process need {wanted} open files, and {most} are allowed: \
             raise the hard limit (`ulimit -Hn {wanted}` as root, or LimitNOFILE= of the service), or ask for fewer"
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_says_what_to_do() {
        assert!(judge(10_000, None).is_ok());
        assert!(judge(10_000, Some(10_200)).is_ok());
        let error = judge(10_000, Some(10_199)).unwrap_err().to_string();
        assert!(error.contains("ulimit -Hn 10200"), "{error}");
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        make_room(1).unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
