//! fio as one more candidate: the same access with the same settings, on the same CPU.
//!
//! Equal: ioengine=io_uring (fio asks for the same ring flags), depth, size, direct, random blocks
//! with repetition, submission in batches as large as the depth (or `plan.batch`), a reap as soon
//! as one block is there, no registered file or buffers, one latency per block.
//!
//! Not equal, all to fio's credit: it looks at no content; the latency of a write does not include
//! the fdatasync of its group; and it is a fresh process for each slice whose start and end do not
//! count, since it counts its own time and CPU (which include the kernel's workers). It counts both
//! in whole milliseconds, so slices should not be shorter than half a second.

#![forbid(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::plan::{Access, Limit, Plan};
use crate::outcome::Failure;
use crate::study::schema::{Quantiles, Slice};

/// fio, told what to do.
#[derive(Debug)]
pub(super) struct Fio {
    plan: Plan,
    path: PathBuf,
    /// Blocks of all slices.
    pub(super) count: u64,
}

impl Fio {
    /// Finds out whether fio is there. It is started anew for each slice.
    pub(super) fn new(plan: &Plan, path: PathBuf) -> io::Result<Self> {
        let version = Command::new("fio").arg("--version").stdin(Stdio::null()).output();
        match version {
            Ok(output) if output.status.success() => Ok(Fio { plan: plan.clone(), path, count: 0 }),
            Ok(output) => Err(io::Error::other(format!("it ended with {}", output.status))),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("it does not start ({error}): install it, or leave --fio out"),
            )),
        }
    }

    pub(super) fn slice(&mut self, limit: Limit) -> io::Result<Slice> {
        let output = Command::new("fio")
            .args(arguments(&self.plan, &self.path, limit))
            .stdin(Stdio::null())
            // Ctrl-C is for this process. fio ends by itself with its slice.
            .process_group(0)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // What fio notes comes before the document.
        let document = text.find('{').map_or("", |start| &text[start..]);
        let slice = serde_json::from_str(document).ok().and_then(|report| parse(&report));
        match slice {
            Some(slice) if output.status.success() => {
                self.count += slice.count;
                Ok(slice)
            }
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr);
                let errors = errors.lines().take(3).collect::<Vec<_>>().join("; ");
                Err(io::Error::other(format!("fio ended with {}: {errors}", output.status)))
            }
        }
    }
}

/// Whether fio can do what the plan asks for.
pub(super) fn check(plan: &Plan) -> Result<(), Failure> {
    if plan.access == Access::Append {
        return Err(Failure::Usage(
            "fio does not begin with an empty file but makes another one: compare with --access \
             sequential-write, or leave --fio out"
                .into(),
        ));
    }
    if plan.fsync_every.is_some() && plan.depth > 1 {
        return Err(Failure::Usage(
            "fio syncs without waiting for the writes before: compare with --depth 1, or leave \
             --fio out"
                .into(),
        ));
    }
    Ok(())
}

/// The command that repeats a slice by hand, with `FILE` in the place of the file.
pub fn fio_command(plan: &Plan) -> String {
    format!("fio {}", arguments(plan, Path::new("FILE"), plan.limit).join(" "))
}

fn arguments(plan: &Plan, path: &Path, limit: Limit) -> Vec<String> {
    let pattern = match plan.access {
        Access::RandomRead => "randread",
        Access::SequentialRead => "read",
        Access::RandomWrite => "randwrite",
        Access::SequentialWrite | Access::Append => "write",
    };
    let mut arguments = vec![
        "--name=corering".to_owned(),
        format!("--filename={}", path.display()),
        "--ioengine=io_uring".to_owned(),
        format!("--rw={pattern}"),
        "--norandommap=1".to_owned(),
        "--randrepeat=0".to_owned(),
        format!("--bs={}", plan.block_bytes),
        format!("--size={}", plan.blocks() * plan.block_bytes as u64),
        format!("--direct={}", u8::from(plan.is_direct)),
        // As ours: fio's own from 96 blocks on are 16 bytes beside, and cost twice the CPU to copy to.
        "--iomem_align=4096".to_owned(),
        // The page cache is left as it is.
        "--invalidate=0".to_owned(),
        "--fallocate=none".to_owned(),
        format!("--iodepth={}", plan.depth),
        format!("--iodepth_batch_submit={}", plan.batch.unwrap_or(plan.depth).min(plan.depth)),
        "--iodepth_batch_complete_min=1".to_owned(),
        format!("--iodepth_batch_complete_max={}", plan.depth),
        "--disable_slat=1".to_owned(),
        "--disable_clat=1".to_owned(),
        "--clat_percentiles=0".to_owned(),
        "--lat_percentiles=1".to_owned(),
        "--percentile_list=50:90:99:99.9".to_owned(),
        "--disk_util=0".to_owned(),
        "--eta=never".to_owned(),
        "--output-format=json".to_owned(),
    ];
    match limit {
        Limit::DurationNs(nanoseconds) => {
            arguments.push("--time_based=1".to_owned());
            arguments.push(format!("--runtime={}ms", nanoseconds.div_ceil(1_000_000)));
        }
        Limit::Count(count) => {
            arguments.push(format!("--io_size={}", count * plan.block_bytes as u64));
        }
    }
    if let Some(every) = plan.fsync_every {
        arguments.push(format!("--fdatasync={every}"));
    }
    if let Some(cpu) = plan.cpu {
        arguments.push(format!("--cpus_allowed={cpu}"));
    }
    arguments
}

/// One job of fio's JSON as a slice.
fn parse(report: &Value) -> Option<Slice> {
    let job = report["jobs"].get(0)?;
    if job["error"].as_i64()? != 0 {
        return None;
    }
    let counts = |way: &&str| job[*way]["total_ios"].as_u64().is_some_and(|count| count > 0);
    let way = &job[["read", "write"].iter().find(|way| counts(way))?];
    let percent = job["usr_cpu"].as_f64()? + job["sys_cpu"].as_f64()?;
    let job_ms = job["job_runtime"].as_f64()?;
    let latency = &way["lat_ns"];
    let at = |percentile: &str| latency["percentile"][percentile].as_u64();
    Some(Slice {
        count: way["total_ios"].as_u64()?,
        elapsed_ns: way["runtime"].as_u64()? * 1_000_000,
        server_cpu_ns: (percent / 100.0 * job_ms * 1e6) as u64,
        client_cpu_ns: None,
        latency_ns: Some(Quantiles {
            p50: at("50.000000")?,
            p90: at("90.000000")?,
            p99: at("99.000000")?,
            p999: at("99.900000")?,
            max: latency["max"].as_u64()?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check, parse};
    use crate::file::plan::{Access, Plan};

    #[test]
    fn a_job_of_fio_is_a_slice() {
        let report = json!({"jobs": [{
            "error": 0, "usr_cpu": 20.0, "sys_cpu": 60.0, "job_runtime": 500,
            "write": {"total_ios": 0},
            "read": {"total_ios": 1000, "runtime": 400, "lat_ns": {"max": 9, "percentile": {
                "50.000000": 1, "90.000000": 2, "99.000000": 3, "99.900000": 4,
            }}},
        }]});
        let slice = parse(&report).expect("it is complete");
        assert_eq!((slice.count, slice.elapsed_ns), (1000, 400_000_000));
        assert_eq!(slice.server_cpu_ns, 400_000_000);
        let latency = slice.latency_ns.expect("fio has measured it");
        assert_eq!((latency.p50, latency.p999, latency.max), (1, 4, 9));
    }

    #[test]
    fn a_job_that_failed_is_no_slice() {
        assert_eq!(parse(&json!({"jobs": [{"error": 5}]})), None);
        assert_eq!(parse(&json!({})), None);
    }

    #[test]
    fn what_fio_does_otherwise_is_not_compared() {
        assert!(check(&Plan::default()).is_ok());
        assert!(check(&Plan::log(1)).is_err());
        let writes = Plan { access: Access::RandomWrite, ..Plan::default() };
        assert!(check(&Plan { fsync_every: Some(4), ..writes.clone() }).is_err());
        assert!(check(&Plan { fsync_every: Some(4), depth: 1, ..writes }).is_ok());
    }
}
