//! A running engine: a child process with JSON lines as requests and replies.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::protocol::{Reply, Request};

/// Longer than any load or query of a sensible scale factor. An engine that takes longer counts as hung.
const REPLY_LIMIT: Duration = Duration::from_mins(30);

/// How long a child may take to exit after it was asked to close.
const EXIT_LIMIT: Duration = Duration::from_secs(30);

/// How to start an engine.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// A started engine. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<std::io::Result<String>>,
}

impl Process {
    /// Starts the engine without sending a request. It inherits our stderr.
    pub(crate) fn start(launch: &Launch) -> Result<Self> {
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", launch.program.display()))?;
        let requests = child.stdin.take().ok_or("the engine has no stdin")?;
        let output = child.stdout.take().ok_or("the engine has no stdout")?;
        // There is one reply per request and few requests at a time, so only a handful of lines can wait.
        let (sender, replies) = mpsc::sync_channel(8);
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, requests, replies })
    }

    /// Starts the engine and opens its database.
    pub(crate) fn open(launch: &Launch, open: &Request) -> Result<(Self, Reply)> {
        let mut process = Self::start(launch)?;
        let reply = process.ask(open)?;
        Ok((process, reply))
    }

    /// Sends one request and waits for its reply. A reply with an error is returned as an error.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.send(request)?;
        self.receive()
    }

    /// Sends one request without waiting, so that a fresh process finds it as soon as it is ready.
    pub(crate) fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.requests.write_all(&line)?;
        self.requests.flush()?;
        Ok(())
    }

    /// Waits for the reply to the oldest pending request.
    pub(crate) fn receive(&mut self) -> Result<Reply> {
        let line = match self.replies.recv_timeout(REPLY_LIMIT) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => return Err("no reply within half an hour".into()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                return Err(format!("the engine ended without a reply ({status})").into());
            }
        };
        let reply: Reply = serde_json::from_str(&line).map_err(|error| format!("{error} in reply {line:?}"))?;
        match reply.error {
            Some(error) => Err(error.into()),
            None => Ok(reply),
        }
    }

    /// Closes the database, waits until the process has exited, and returns the last reply.
    pub(crate) fn close(mut self) -> Result<Reply> {
        let reply = self.ask(&Request::Close)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > EXIT_LIMIT {
                return Err("the engine did not end after it closed".into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(reply)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing fails only if the process has ended already.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    #[test]
    fn reply_is_read_and_error_is_an_error() {
        let script = r#"read a; echo '{"wall_ms":1.5}'; read b; echo '{"error":"boom"}'"#;
        let mut process = Process::start(&shell(script)).unwrap();
        let reply = process.ask(&Request::Close).unwrap();
        assert!((reply.wall_ms - 1.5).abs() < f64::EPSILON);
        assert_eq!(process.ask(&Request::Close).unwrap_err().to_string(), "boom");
    }

    #[test]
    fn death_of_the_engine_is_told_with_its_status() {
        let mut process = Process::start(&shell("read a; exit 3")).unwrap();
        let error = process.ask(&Request::Close).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn missing_program_is_named() {
        let launch = Launch { program: "/nowhere/engine".into(), arguments: Vec::new() };
        let error = Process::start(&launch).unwrap_err().to_string();
        assert!(error.contains("/nowhere/engine"), "{error}");
    }
}
