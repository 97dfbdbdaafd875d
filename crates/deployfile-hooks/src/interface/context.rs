//! `context`: what the call is about.

use crate::bindings::deployfile::hook::context::{Host, HostRelease, Mode, Phase};
use crate::facts::Release;
use crate::guest::Guest;
use deployfile_model::Stage;
use std::time::Instant;
use wasmtime::Result;
use wasmtime::component::Resource;

impl Host for Guest {
    fn run_id(&mut self) -> Result<String> {
        Ok(self.facts.run.to_string())
    }
    fn environment(&mut self) -> Result<String> {
        Ok(self.facts.environment.to_string())
    }
    fn goal(&mut self) -> Result<String> {
        Ok(self.facts.goal.name().to_owned())
    }
    fn stage(&mut self) -> Result<String> {
        Ok(self.facts.stage.name().to_owned())
    }
    fn current_phase(&mut self) -> Result<Phase> {
        Ok(match (self.facts.stage, self.facts.phase) {
            (Stage::Failed, _) => Phase::Failed,
            (_, deployfile_model::Phase::Before | deployfile_model::Phase::Main) => Phase::Before,
            (_, deployfile_model::Phase::After) => Phase::After,
        })
    }
    fn current_mode(&mut self) -> Result<Mode> {
        Ok(match self.facts.mode {
            deployfile_exec::Mode::Apply => Mode::Apply,
            deployfile_exec::Mode::Resume => Mode::Resume,
            deployfile_exec::Mode::Rollback => Mode::Rollback,
        })
    }
    fn attempt(&mut self) -> Result<u32> {
        Ok(self.facts.attempt)
    }
    fn remaining_ms(&mut self) -> Result<u64> {
        let left = self.facts.deadline.saturating_duration_since(Instant::now());
        Ok(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
    fn config(&mut self) -> Result<String> {
        Ok(self.facts.config.clone())
    }
    fn lookup(&mut self, name: String) -> Result<Option<String>> {
        Ok(self.facts.lookup(&name).cloned())
    }
    fn facts(&mut self) -> Result<String> {
        Ok(self.facts.document())
    }
    fn target_release(&mut self) -> Result<Option<Resource<Release>>> {
        let release = self.facts.target.clone();
        self.lend(release)
    }
    fn current_release(&mut self) -> Result<Option<Resource<Release>>> {
        let release = self.facts.current.clone();
        self.lend(release)
    }
    fn previous_release(&mut self) -> Result<Option<Resource<Release>>> {
        let release = self.facts.previous.clone();
        self.lend(release)
    }
    fn machine(&mut self) -> Result<Option<String>> {
        Ok(self.facts.machine.as_ref().map(ToString::to_string))
    }
    fn roles(&mut self) -> Result<Vec<String>> {
        Ok(self.facts.roles.iter().map(ToString::to_string).collect())
    }
}

impl Guest {
    fn lend(&mut self, release: Option<Release>) -> Result<Option<Resource<Release>>> {
        release.map(|release| Ok(self.table.push(release)?)).transpose()
    }
}

impl HostRelease for Guest {
    fn id(&mut self, this: Resource<Release>) -> Result<String> {
        Ok(self.table.get(&this)?.id.to_string())
    }
    fn build_id(&mut self, this: Resource<Release>) -> Result<Option<String>> {
        Ok(self.table.get(&this)?.build_id.as_ref().map(ToString::to_string))
    }
    fn created_unix(&mut self, this: Resource<Release>) -> Result<u64> {
        Ok(self.table.get(&this)?.created)
    }
    fn drop(&mut self, this: Resource<Release>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
