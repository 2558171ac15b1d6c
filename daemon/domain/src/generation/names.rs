//! What other programs call samplers and schedules, so that settings copied from anywhere are understood: A1111's and
//! ComfyUI's names, and the classes of diffusers.

use super::{Sampler, Schedule};

/// Names without spaces, signs and case; `+` is spelled `p`.
const SAMPLERS: &[(&str, Sampler)] = &[
    ("euler", Sampler::Euler),
    ("keuler", Sampler::Euler),
    ("eulerdiscretescheduler", Sampler::Euler),
    ("eulera", Sampler::EulerAncestral),
    ("keulera", Sampler::EulerAncestral),
    ("eulerancestral", Sampler::EulerAncestral),
    ("eulerancestraldiscretescheduler", Sampler::EulerAncestral),
    ("heun", Sampler::Heun),
    ("heundiscretescheduler", Sampler::Heun),
    ("dpm2", Sampler::Dpm2),
    ("kdpm2discretescheduler", Sampler::Dpm2),
    ("dpm2a", Sampler::Dpm2Ancestral),
    ("dpm2ancestral", Sampler::Dpm2Ancestral),
    ("kdpm2ancestraldiscretescheduler", Sampler::Dpm2Ancestral),
    ("lms", Sampler::Lms),
    ("klms", Sampler::Lms),
    ("lmsdiscretescheduler", Sampler::Lms),
    ("dpmpp2sa", Sampler::DpmPlusPlus2sAncestral),
    ("dpmpp2sancestral", Sampler::DpmPlusPlus2sAncestral),
    ("dpmpp2m", Sampler::DpmPlusPlus2m),
    ("kdpmpp2m", Sampler::DpmPlusPlus2m),
    ("dpmsolvermultistepscheduler", Sampler::DpmPlusPlus2m),
    ("dpmppsde", Sampler::DpmPlusPlusSde),
    ("kdpmppsde", Sampler::DpmPlusPlusSde),
    ("dpmppsdegpu", Sampler::DpmPlusPlusSde),
    ("dpmsolversdescheduler", Sampler::DpmPlusPlusSde),
    ("dpmpp2msde", Sampler::DpmPlusPlus2mSde),
    ("kdpmpp2msde", Sampler::DpmPlusPlus2mSde),
    ("dpmpp2msdegpu", Sampler::DpmPlusPlus2mSde),
    ("dpmpp2msdeheun", Sampler::DpmPlusPlus2mSdeHeun),
    ("kdpmpp2msdeheun", Sampler::DpmPlusPlus2mSdeHeun),
    ("dpmpp2msdeheungpu", Sampler::DpmPlusPlus2mSdeHeun),
    ("dpmpp3msde", Sampler::DpmPlusPlus3mSde),
    ("kdpmpp3msde", Sampler::DpmPlusPlus3mSde),
    ("dpmpp3msdegpu", Sampler::DpmPlusPlus3mSde),
    ("unipc", Sampler::UniPc),
    ("unipcbh1", Sampler::UniPc),
    ("unipcbh2", Sampler::UniPcBh2),
    ("unipcmultistepscheduler", Sampler::UniPcBh2),
    ("deis", Sampler::Deis),
    ("deismultistepscheduler", Sampler::Deis),
    ("restart", Sampler::Restart),
    ("ddpm", Sampler::Ddpm),
    ("ddpmscheduler", Sampler::Ddpm),
    ("tcd", Sampler::Tcd),
    ("tcdscheduler", Sampler::Tcd),
    ("ddim", Sampler::Ddim),
    ("ddimscheduler", Sampler::Ddim),
    ("lcm", Sampler::Lcm),
    ("lcmscheduler", Sampler::Lcm),
];

const SCHEDULES: &[(&str, Schedule)] = &[
    ("normal", Schedule::Normal),
    ("uniform", Schedule::Normal),
    ("linspace", Schedule::Normal),
    ("karras", Schedule::Karras),
    ("ddimuniform", Schedule::DdimUniform),
    ("ddim", Schedule::DdimUniform),
    ("leading", Schedule::DdimUniform),
    ("simple", Schedule::Simple),
    ("trailing", Schedule::Simple),
    ("sgmuniform", Schedule::SgmUniform),
    ("exponential", Schedule::Exponential),
    ("beta", Schedule::Beta),
    ("ays", Schedule::AlignYourSteps),
    ("alignyoursteps", Schedule::AlignYourSteps),
    ("alignyourstepsscheduler", Schedule::AlignYourSteps),
];

pub(super) fn plain(name: &str) -> String {
    let letter = |c: char| match c {
        '+' => Some('p'),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    name.chars().filter_map(letter).collect()
}

impl Sampler {
    /// A sampler by anybody's name for it, and the schedule that A1111 used to say in the same breath, as in
    /// `DPM++ 2M Karras`.
    #[must_use]
    pub fn by_any_name(name: &str) -> Option<(Self, Option<Schedule>)> {
        let name = plain(name);
        let known = |name: &str| SAMPLERS.iter().find(|(alias, _)| *alias == name).map(|(_, sampler)| *sampler);
        known(&name).map(|sampler| (sampler, None)).or_else(|| {
            SCHEDULES.iter().find_map(|(ending, schedule)| Some((known(name.strip_suffix(ending)?)?, Some(*schedule))))
        })
    }
}

impl Schedule {
    /// A schedule by anybody's name for it.
    #[must_use]
    pub fn by_any_name(name: &str) -> Option<Self> {
        let name = plain(name);
        SCHEDULES.iter().find(|(alias, _)| *alias == name).map(|(_, schedule)| *schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybodys_names_are_understood() {
        for (name, sampler, schedule) in [
            ("DPM++ 2M Karras", Sampler::DpmPlusPlus2m, Some(Schedule::Karras)),
            ("DPM++ 2M", Sampler::DpmPlusPlus2m, None),
            ("Euler a", Sampler::EulerAncestral, None),
            ("euler_ancestral", Sampler::EulerAncestral, None),
            ("DPM2 a Karras", Sampler::Dpm2Ancestral, Some(Schedule::Karras)),
            ("DPM++ 2S a", Sampler::DpmPlusPlus2sAncestral, None),
            ("dpmpp_2s_ancestral", Sampler::DpmPlusPlus2sAncestral, None),
            ("Euler SGM Uniform", Sampler::Euler, Some(Schedule::SgmUniform)),
            ("EulerDiscreteScheduler", Sampler::Euler, None),
            ("k_lms", Sampler::Lms, None),
            ("LCM", Sampler::Lcm, None),
            ("UniPC", Sampler::UniPc, None),
            ("uni_pc_bh2", Sampler::UniPcBh2, None),
            ("UniPCMultistepScheduler", Sampler::UniPcBh2, None),
            ("DEISMultistepScheduler", Sampler::Deis, None),
            ("Restart Karras", Sampler::Restart, Some(Schedule::Karras)),
            ("DDPMScheduler", Sampler::Ddpm, None),
            ("TCDScheduler", Sampler::Tcd, None),
            ("DPM++ SDE Karras", Sampler::DpmPlusPlusSde, Some(Schedule::Karras)),
            ("dpmpp_sde_gpu", Sampler::DpmPlusPlusSde, None),
            ("DPMSolverSDEScheduler", Sampler::DpmPlusPlusSde, None),
            ("DPM++ 2M SDE Karras", Sampler::DpmPlusPlus2mSde, Some(Schedule::Karras)),
            ("dpmpp_2m_sde_gpu", Sampler::DpmPlusPlus2mSde, None),
            ("DPM++ 2M SDE Heun Exponential", Sampler::DpmPlusPlus2mSdeHeun, Some(Schedule::Exponential)),
            ("dpmpp_2m_sde_heun_gpu", Sampler::DpmPlusPlus2mSdeHeun, None),
            ("DPM++ 3M SDE", Sampler::DpmPlusPlus3mSde, None),
            ("dpmpp_3m_sde_gpu", Sampler::DpmPlusPlus3mSde, None),
        ] {
            assert_eq!(Sampler::by_any_name(name), Some((sampler, schedule)), "{name}");
        }
        assert_eq!(Schedule::by_any_name("Align Your Steps"), Some(Schedule::AlignYourSteps));
        assert_eq!(Schedule::by_any_name("Uniform"), Some(Schedule::Normal));
        assert_eq!(Schedule::by_any_name("SGM Uniform"), Some(Schedule::SgmUniform));
        assert_eq!(Sampler::by_any_name("DPM++ 5M SDE"), None);
        assert_eq!(Schedule::by_any_name(""), None);
    }

    #[test]
    fn own_names_are_among_them() {
        for sampler in Sampler::ALL {
            assert_eq!(Sampler::by_any_name(sampler.as_str()), Some((*sampler, None)));
        }
        for schedule in Schedule::ALL {
            assert_eq!(Schedule::by_any_name(schedule.as_str()), Some(*schedule));
        }
    }
}
