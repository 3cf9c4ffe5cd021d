//! What the kernel says about time spent: by a candidate, and on a core by everybody.

use std::time::Instant;

use anyhow::Context;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Whose time is counted for a candidate.
#[derive(Debug, Clone)]
pub(crate) struct Counted(pub(crate) Vec<Pid>);

/// One look at all clocks.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    at: Instant,
    /// CPU time of the candidate, all threads, in ns.
    candidate: u64,
    /// Ticks of it in user space, and in all.
    ticks: (u64, u64),
    /// Time its threads were ready to run and did not get a core, in ns.
    waited: u64,
    proxy_core: Core,
    load_core: Core,
}

/// Ticks of one core since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Core {
    busy: u64,
    stolen: u64,
    total: u64,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// CPU seconds of the candidate per second.
    pub(crate) candidate: f64,
    /// Share of that time spent in user space.
    pub(crate) user: f64,
    /// Seconds per second its threads waited for a core that something else had.
    pub(crate) waited: f64,
    /// Share of the proxy's core that anything but the candidate used, time stolen by the
    /// hypervisor included.
    pub(crate) others: f64,
    /// Share of the load generator's core in use.
    pub(crate) load_core: f64,
}

impl Reading {
    /// Looks at the clocks.
    ///
    /// The CPU time is each process's CPU clock: the nanoseconds that `/proc/PID/task/*/schedstat`
    /// shows, summed by the kernel over all threads, those that have ended included.
    pub(crate) fn take(counted: &Counted, proxy_cpu: usize, load_cpu: usize) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        let mut candidate = 0;
        for pid in &counted.0 {
            let time = clock_getcpuclockid(*pid)
                .and_then(clock_gettime)
                .with_context(|| format!("reading the CPU clock of process {pid}"))?;
            candidate += time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned();
        }
        let at = Instant::now();
        Ok(Self {
            at,
            candidate,
            ticks: counted
                .0
                .iter()
                .filter_map(|pid| ticks(*pid))
                .fold((0, 0), |sum, (user, all)| (sum.0 + user, sum.1 + all)),
            waited: counted.0.iter().map(|pid| run_delay(*pid)).sum(),
            proxy_core: core(&stat, proxy_cpu).with_context(|| format!("no core {proxy_cpu}"))?,
            load_core: core(&stat, load_cpu).with_context(|| format!("no core {load_cpu}"))?,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let seconds = (self.at - earlier.at).as_secs_f64().max(1e-9);
        let share = |ns: u64| ns as f64 / 1e9 / seconds;
        let candidate = share(self.candidate.saturating_sub(earlier.candidate));
        Spent {
            candidate,
            user: self.ticks.0.saturating_sub(earlier.ticks.0) as f64
                / self.ticks.1.saturating_sub(earlier.ticks.1).max(1) as f64,
            waited: share(self.waited.saturating_sub(earlier.waited)),
            // Ticks are coarse: a little below zero means none.
            others: (self.proxy_core.share_since(&earlier.proxy_core) - candidate).max(0.0),
            load_core: self.load_core.share_since(&earlier.load_core),
        }
    }
}

impl Core {
    fn share_since(&self, earlier: &Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let used = (self.busy + self.stolen).saturating_sub(earlier.busy + earlier.stolen);
        if total == 0 { 0.0 } else { used as f64 / total as f64 }
    }
}

/// A core's line of /proc/stat: user nice system idle iowait irq softirq steal ...
fn core(stat: &str, cpu: usize) -> Option<Core> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks[..] else { return None };
    let busy = user + nice + system + irq + softirq;
    Some(Core { busy, stolen, total: busy + stolen + idle + iowait })
}

/// User time, and user and system time, of a process in clock ticks: the 14th and 15th field of its
/// `stat`, the 12th and 13th after the name.
fn ticks(pid: Pid) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user, user + system))
}

/// Sum over the threads of a process of the second number of `schedstat`. A thread that has ended
/// takes its number away with it; this one only helps to see a disturbed slice.
fn run_delay(pid: Pid) -> u64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_found_by_its_whole_name() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 100 4 5 6 7 0 0\ncpu10 0 0 0 1 0 0 0 0 0 0\n";
        assert_eq!(core(stat, 1), Some(Core { busy: 17, stolen: 7, total: 128 }));
        assert_eq!(core(stat, 2), None);
    }

    #[test]
    fn a_busy_thread_shows_on_its_process_clock_even_after_it_ended() {
        let counted = Counted(vec![Pid::this()]);
        let before = Reading::take(&counted, 0, 0).unwrap();
        std::thread::spawn(|| (0..20_000_000u64).fold(0, |sum, n| std::hint::black_box(sum ^ n)))
            .join()
            .unwrap();
        let after = Reading::take(&counted, 0, 0).unwrap();
        assert!(after.since(&before).candidate > 0.0);
    }
}
