//! The interactive shell, on a pseudo terminal that `script` provides.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::database::Database;

/// A shell, and what its terminal has shown so far.
struct Typist {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Typist {
    /// Starts a shell, or returns `None` if there is no `script`.
    fn sit_down(database: &Database) -> Option<Self> {
        // `exec`, because a shell in between (dash) would die of the Ctrl-C that ours survives.
        let shell = format!("exec {} --db {} sql", env!("CARGO_BIN_EXE_cayenne"), database.root().display());
        let mut command = Command::new("script");
        command
            .args(["-qec", &shell, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("XDG_DATA_HOME", database.path("share"))
            .env("TERM", "xterm");
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            println!("SKIPPED: there is no `script` to provide a terminal");
            return None;
        };
        let (sender, screen) = channel();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut bytes) {
                sender.send(bytes[..read].to_vec()).ok();
            }
        });
        let keyboard = child.stdin.take().unwrap();
        Some(Self { child, keyboard, screen, shown: String::new() })
    }

    /// Waits until the terminal shows `text` after what has been seen already.
    fn see(&mut self, text: &str) -> &mut Self {
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return self;
            }
            let more = self.screen.recv_timeout(Duration::from_secs(20));
            let more = more.unwrap_or_else(|_| panic!("{text:?} was not shown, but {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Waits for a prompt and enters a line.
    fn enter(&mut self, prompt: &str, line: &str) -> &mut Self {
        self.see(prompt);
        self.keyboard.write_all(line.as_bytes()).unwrap();
        self.keyboard.write_all(b"\r").unwrap();
        self
    }

    fn leave(mut self) {
        self.enter(ASKS, "\\q");
        let ended = self.child.wait().unwrap();
        let unread: Vec<u8> = self.screen.iter().flatten().collect();
        assert!(ended.success(), "{ended} after {:?}", String::from_utf8_lossy(&unread));
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const ASKS: &str = "cayenne> ";
const GOES_ON: &str = "-> ";

#[test]
fn statements_and_commands_are_answered() {
    let database = Database::with_table();
    let Some(mut typist) = Typist::sit_down(&database) else { return };
    typist
        .enter(ASKS, "SELECT sum(id)")
        .enter(GOES_ON, "AS total FROM t;")
        .see("| total |")
        .see("| 6     |")
        .see("(1 row, ");
    typist.enter(ASKS, "\\d").see("| name | rows |");
    typist.enter(ASKS, "\\d t").see("| property ");
    typist.enter(ASKS, "CREATE VIEW v AS SELECT id FROM t;").enter(ASKS, "\\d").see("| view  |");
    typist.enter(ASKS, "\\d v").see("CREATE VIEW v AS SELECT id FROM t");
    typist.enter(ASKS, "\\d nope").see("error[no-table]");
    typist.enter(ASKS, "\\x").see("a line for each value");
    typist.enter(ASKS, "SELECT id, name FROM t WHERE id = 2;").see("-[ row 1 ]-").see("id   | 2").see("name | two");
    typist.enter(ASKS, "\\x").see("a line for each row");
    typist.enter(ASKS, "\\timing").see("timing is off");
    typist.enter(ASKS, "SELECT nope; SELECT 3 AS never;").see("error[sql-plan]");
    typist
        .enter(ASKS, "SELECT 1 AS one; INSERT INTO t VALUES (4, 'four');")
        .see("| one |")
        .see("| count |")
        .see("(1 row)");
    typist.leave();
    let history = std::fs::read_to_string(database.path("share/cayenne/history")).unwrap();
    assert!(history.contains("AS total FROM t;"), "{history}");
    assert_eq!(database.query("SELECT count(*) FROM t"), "4\n");
}

#[test]
fn control_c_cancels_the_query_and_not_the_shell() {
    let database = Database::with_table();
    let Some(mut typist) = Typist::sit_down(&database) else { return };
    // The output of the first statement shows that the line was read: from then on Ctrl-C is a signal and not a key.
    let endless = "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b WHERE a.value % 7 = b.value % 7;";
    typist.enter(ASKS, &format!("SELECT 'begun' AS mark; {endless}")).see("| begun |");
    typist.keyboard.write_all(&[3]).unwrap();
    typist.see("cancelled");
    typist.enter(ASKS, "SELECT 'half").enter(GOES_ON, "\u{3}");
    typist.enter(ASKS, "SELECT 5 AS five;").see("| five |");
    typist.leave();
}
