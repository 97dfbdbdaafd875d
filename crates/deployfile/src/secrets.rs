//! Secrets for hooks: the values that the plan's providers give, on this host, when a hook asks.

use deployfile_hooks::{SecretText, Secrets};
use deployfile_model::Name;
use deployfile_model::secret::SecretProvider;
use deployfile_record::{Failure, Plan};
use deployfile_system::secret;
use std::collections::BTreeMap;

/// The providers of one run, each asked at most once.
pub(crate) struct RunSecrets {
    providers: BTreeMap<Name, SecretProvider>,
    read: BTreeMap<Name, secret::SecretText>,
}

impl RunSecrets {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { providers: plan.secrets.clone(), read: BTreeMap::new() }
    }
}

impl Secrets for RunSecrets {
    fn value(&mut self, name: &Name) -> Result<SecretText, Failure> {
        if let Some(known) = self.read.get(name) {
            return Ok(SecretText::new(known.reveal()));
        }
        let Some(provider) = self.providers.get(name) else {
            return Err(Failure::new("secret::undeclared", format!("secret `{name}` is not declared")));
        };
        let value = secret::read(name, provider).map_err(|e| secret::failure(&e))?;
        let text = SecretText::new(value.reveal());
        self.read.insert(name.clone(), value);
        Ok(text)
    }
}
