//! What starts the supervisor at boot. Printed for people; nothing here installs it.

use deployfile_model::HostPath;

/// Two ways to start the supervisor of a root at boot; one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLines {
    /// A systemd service. Its stop ends the supervisor only, and leaves the services running (`KillMode=process`).
    pub systemd_unit: String,
    /// A line of the user's crontab.
    pub cron_line: String,
}

/// How to start the supervisor of `root` with the program `exe` at boot, as user number `uid`. It brings up every
/// service that was up.
pub fn boot_lines(root: &HostPath, exe: &HostPath, uid: u32) -> BootLines {
    let command = format!("{} supervise {}", systemd_word(exe.as_str()), systemd_word(root.as_str()));
    BootLines {
        systemd_unit: format!(
            "[Unit]\nDescription=deployfile services of {}\nAfter=network.target\n\n\
             [Service]\nExecStart={command}\nUser={uid}\nKillMode=process\nRestart=on-failure\n\n\
             [Install]\nWantedBy=multi-user.target\n",
            root.as_str().replace('%', "%%"),
        ),
        cron_line: format!("@reboot {} supervise {} &", cron_word(exe.as_str()), cron_word(root.as_str())),
    }
}

/// A word as systemd reads it (systemd.service(5), "Command lines").
fn systemd_word(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A word as the shell reads it, with the `%` that cron would take for an end of line (crontab(5)) escaped.
fn cron_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('%', r"'\%'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_both() {
        let path = |text: &str| HostPath::new(text).unwrap();
        let lines = boot_lines(&path("/srv/a b"), &path("/opt/it's 5%/$x"), 1000);
        assert!(
            lines
                .systemd_unit
                .contains("ExecStart=\"/opt/it's 5%%/$$x\" supervise \"/srv/a b\"\nUser=1000\n")
        );
        assert_eq!(lines.cron_line, r"@reboot '/opt/it'\''s 5'\%'/$x' supervise '/srv/a b' &");
        let plain = boot_lines(&path("/srv/shop"), &path("/usr/bin/deployfile"), 0);
        assert_eq!(plain.cron_line, "@reboot '/usr/bin/deployfile' supervise '/srv/shop' &");
    }
}
