//! Memory that is needed no more goes back to the machine: what a flood made the process take, others can use after it.

use std::time::Duration;

use trellis_net::memory;

const LOOK: Duration = Duration::from_secs(2);
/// Less than this is not worth anybody's wait.
const MUCH: u64 = 16 << 20;
/// What is allocated may change so much between two looks, an eighth of it, while nothing much happens.
const STILL: u64 = 8;
/// Looks to leave out after one attempt; twice as many after each that gave little.
const PAUSE: u32 = 4;
const LONGEST_PAUSE: u32 = 16;

/// Looks at what the allocator holds, and has it given back when that is much and the flood that asked for it is over. For as
/// long as the process.
pub(crate) async fn keep_low() {
    let mut calm = Calm::default();
    loop {
        tokio::time::sleep(LOOK).await;
        // Reading is cheap; the allocator's books and its locks are for when there is a reason.
        let Ok(resident) = memory::resident() else { return };
        if resident < MUCH {
            continue;
        }
        let looked = tokio::task::spawn_blocking(move || {
            let mut calm = calm;
            if let Ok(now) = memory::look()
                && calm.may_give_back(now)
            {
                memory::give_back();
                let after = memory::resident().unwrap_or(now.resident);
                let given = now.resident.saturating_sub(after);
                tracing::debug!(given, resident = after, "memory is given back");
                calm.gave(given);
            }
            calm
        });
        calm = looked.await.unwrap_or_default();
    }
}

/// Decides when.
#[derive(Debug, Clone, Copy)]
struct Calm {
    in_use: u64,
    /// Looks left out.
    pause: u32,
    next_pause: u32,
}

impl Default for Calm {
    fn default() -> Self {
        Self { in_use: u64::MAX, pause: 0, next_pause: PAUSE }
    }
}

impl Calm {
    fn may_give_back(&mut self, now: memory::Memory) -> bool {
        let is_still = now.in_use.abs_diff(self.in_use) <= (now.in_use / STILL).max(MUCH / 4);
        self.in_use = now.in_use;
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        is_still && now.idle() >= MUCH.max(now.in_use / 4)
    }

    fn gave(&mut self, bytes: u64) {
        // What could not be given is in pages that something still uses.
        self.next_pause = if bytes >= MUCH / 2 { PAUSE } else { (self.next_pause * 2).min(LONGEST_PAUSE) };
        self.pause = self.next_pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(resident_mib: u64, in_use_mib: u64) -> memory::Memory {
        memory::Memory { resident: resident_mib << 20, in_use: in_use_mib << 20 }
    }

    #[test]
    fn it_is_given_back_once_the_flood_is_over_and_not_while_it_goes_on() {
        let mut calm = Calm::default();
        for (resident, in_use, may) in [
            (40, 30, false),
            (40, 30, false),
            (400, 390, false),
            // It ebbs.
            (400, 150, false),
            (400, 40, false),
            (400, 38, true),
        ] {
            assert_eq!(calm.may_give_back(memory(resident, in_use)), may, "{resident} {in_use}");
        }
        calm.gave(350 << 20);
        let looks = (0..20).take_while(|_| !calm.may_give_back(memory(400, 38))).count();
        assert_eq!(looks, PAUSE as usize, "no oftener than that");
    }

    #[test]
    fn what_cannot_be_given_back_is_asked_for_ever_less_often() {
        let mut calm = Calm { in_use: 40 << 20, ..Calm::default() };
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push((0..1000).take_while(|_| !calm.may_give_back(memory(100, 40))).count());
            calm.gave(0);
        }
        assert_eq!(pauses, [0, 8, 16, 16, 16, 16, 16, 16]);
    }
}
