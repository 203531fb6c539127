//! What a run of the tests has done, and how long it took.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    failed: bool,
}

impl Report {
    /// Does one step and notes it. Its failure prints all so far.
    pub(super) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.attempt(name, work).inspect_err(|_| self.print())
    }

    /// The same, for a step after whose failure the others go on.
    pub(super) fn attempt<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work().with_context(|| format!("{name} failed"));
        let took = start.elapsed();
        self.steps.push(Step { name: name.to_owned(), took, failed: outcome.is_err() });
        outcome
    }

    pub(super) fn print(&self) {
        eprintln!("\n{}", self.table());
    }

    fn table(&self) -> String {
        let all = "in all";
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let width = width.max(all.len()) + 2;
        let mut lines: Vec<String> = Vec::new();
        for Step { name, took, failed } in &self.steps {
            let word = if *failed { "  FAILED" } else { "" };
            lines.push(format!("{name:<width$}{:>7.1} s{word}", took.as_secs_f64()));
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        lines.push(format!("{all:<width$}{:>7.1} s", total.as_secs_f64()));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn what_failed_is_named_in_the_table_and_in_the_error() {
        let mut report = Report::default();
        report.step("tidy", || Ok(())).unwrap();
        let said = report.attempt("chaos", || -> Result<()> { bail!("an Envoy has ended") });
        assert_eq!(format!("{:#}", said.unwrap_err()), "chaos failed: an Envoy has ended");
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].starts_with("tidy") && !lines[0].contains("FAILED"), "{table}");
        assert!(lines[1].starts_with("chaos") && lines[1].ends_with("FAILED"), "{table}");
    }
}
