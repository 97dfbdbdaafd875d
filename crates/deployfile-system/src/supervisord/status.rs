//! How a group is, put together from what supervisord says of its processes.

use super::rpc::Value;
use deployfile_model::Name;
use deployfile_model::units::UnixTime;

/// A group with its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group, which is the service.
    pub name: Name,
    /// All of its processes in one word.
    pub state: GroupState,
    /// Process ids of those that run.
    pub pids: Vec<u32>,
    /// When the process that started last did so.
    pub since: Option<UnixTime>,
    /// The exit status of a process that ended by itself.
    pub exit: Option<i64>,
    /// Its processes, as supervisord orders them.
    pub processes: Vec<ProcessStatus>,
}

/// A group in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// All processes run, for their `startsecs` at least.
    Running,
    /// None failed, and some are being started or tried again.
    Starting,
    /// None failed, and some do not run.
    Stopped,
    /// A process ended by itself, or supervisord gave up on it.
    Failed,
}

impl GroupState {
    /// The word that `status` prints (cli.md).
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Running => "running",
            GroupState::Starting => "starting",
            GroupState::Stopped => "stopped",
            GroupState::Failed => "failed",
        }
    }
}

/// A process as supervisord sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Its name in the group.
    pub name: String,
    /// supervisord's name of its state (`RUNNING`, `FATAL`, …).
    pub state: String,
    /// Its process id, when it runs.
    pub pid: Option<u32>,
    /// When it was last started.
    pub since: Option<UnixTime>,
    /// Its last exit status, when it has ended.
    pub exit: Option<i64>,
    /// Why it could not be started.
    pub problem: Option<String>,
}

impl ProcessStatus {
    fn of(info: &Value) -> Self {
        let text = |key: &str| info.get(key).map(Value::text).unwrap_or_default().to_owned();
        let number = |key: &str| info.get(key).and_then(Value::int);
        let state = text("statename");
        let ended = matches!(state.as_str(), "EXITED" | "FATAL" | "BACKOFF");
        let problem = text("spawnerr");
        Self {
            name: text("name"),
            pid: number("pid").and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
            since: number("start").filter(|at| *at > 0).map(UnixTime),
            exit: number("exitstatus").filter(|_| ended),
            problem: (!problem.is_empty()).then_some(problem),
            state,
        }
    }

    /// It has a process, or will have one without being asked.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state.as_str(), "RUNNING" | "STARTING" | "STOPPING" | "BACKOFF")
    }

    /// It was never started: supervisord takes its turn to do so.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == "STOPPED" && self.since.is_none()
    }

    fn group_state(&self) -> GroupState {
        match self.state.as_str() {
            "RUNNING" => GroupState::Running,
            "STARTING" | "BACKOFF" => GroupState::Starting,
            "STOPPED" | "STOPPING" => GroupState::Stopped,
            _ => GroupState::Failed,
        }
    }
}

impl GroupStatus {
    /// The group's part of `getAllProcessInfo`.
    pub(super) fn of(name: &Name, all: &[Value]) -> Self {
        let is_ours = |info: &&Value| info.get("group").is_some_and(|group| group.text() == name.as_str());
        let processes: Vec<ProcessStatus> = all.iter().filter(is_ours).map(ProcessStatus::of).collect();
        Self {
            name: name.clone(),
            // The worst of them; the order of GroupState is from good to bad.
            state: processes.iter().map(ProcessStatus::group_state).max().unwrap_or(GroupState::Stopped),
            pids: processes.iter().filter_map(|process| process.pid).collect(),
            since: processes.iter().filter_map(|process| process.since).max(),
            exit: processes.iter().find_map(|process| process.exit),
            processes,
        }
    }

    /// One line that names every process that does not run.
    pub(super) fn states(&self) -> String {
        let one = |process: &ProcessStatus| {
            let problem = process.problem.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let exit = process.exit.map(|status| format!(", exit status {status}")).unwrap_or_default();
            format!("{} is {}{exit}{problem}", process.name, process.state)
        };
        let bad: Vec<String> = self.processes.iter().filter(|p| p.state != "RUNNING").map(one).collect();
        if bad.is_empty() { "it has no processes".to_owned() } else { bad.join("; ") }
    }
}
