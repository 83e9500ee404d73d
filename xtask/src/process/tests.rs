use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn is_running(pid: i32) -> bool {
    rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
        // A zombie that nobody has waited for yet does not run.
        && !std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = now() + Duration::from_secs(10);
    while now() < deadline {
        if condition() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_program_that_takes_too_long_is_stopped_with_what_it_started() {
    let workspace = Workspace::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut command = shell(&format!("sleep 600 & echo $! > {}; wait", file.display()));
    let error = run(&workspace, &mut command, Duration::from_millis(500)).unwrap_err();
    assert!(error.to_string().contains("took longer than"), "{error}");
    let pid = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(eventually(|| !is_running(pid)));
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let workspace = Workspace::find().unwrap();
    let mut command = shell(&format!("sleep 600 & echo $! > {}", file.display()));
    run(&workspace, &mut command, Duration::from_secs(20)).unwrap();
    let pid = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(eventually(|| !is_running(pid)));
}

#[test]
fn a_program_gets_no_input() {
    let workspace = Workspace::find().unwrap();
    let text = output(
        &workspace,
        &mut shell("cat; echo end"),
        Duration::from_secs(20),
    )
    .unwrap();
    assert_eq!(text, "end\n");
}

#[test]
fn output_is_complete_and_a_failure_names_the_command() {
    let workspace = Workspace::find().unwrap();
    let mut lines = 0;
    let mut command = shell("seq 20000; exit 3");
    let error = run_lines(&workspace, &mut command, Duration::from_secs(20), |_| {
        lines += 1
    });
    assert_eq!(lines, 20_000);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("`sh -c seq 20000; exit 3` failed")
    );
}
