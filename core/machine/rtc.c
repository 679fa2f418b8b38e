/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -rtc: the time that the guest's real-time clock shows, from its base and the clock it follows. */
#include <time.h>

#include <bp/clock.h>

#include "parts.h"

static int64_t base_ns;  /* what the RTC shows at ... */
static int64_t clock_ns; /* ... this reading of its clock */
static bool follows_host; /* host time itself: also when it is set while we run */

/* ns that local time is ahead of UTC at this moment. */
static int64_t zone_ns(int64_t utc_ns)
{
    time_t t = (time_t)(utc_ns / 1000000000);
    struct tm tm;

    return localtime_r(&t, &tm) ? (int64_t)tm.tm_gmtoff * 1000000000 : 0;
}

static int64_t source_ns(struct bp_machine *machine)
{
    return bpc_config.rtc.clock == BP_CLOCK_VIRTUAL ? bp_virtual_ns(machine)
                                                    : bp_clock_ns(bpc_config.rtc.clock);
}

void bpc_rtc_start(void)
{
    int64_t now = bp_clock_ns(BP_CLOCK_HOST);

    clock_ns = source_ns(NULL);
    base_ns = bpc_config.rtc.base == BPC_RTC_DATE        ? bpc_config.rtc.date_ns
              : bpc_config.rtc.base == BPC_RTC_LOCALTIME ? now + zone_ns(now)
                                                         : now;
    follows_host = bpc_config.rtc.clock == BP_CLOCK_HOST && bpc_config.rtc.base != BPC_RTC_DATE;
}

int64_t bp_machine_rtc_ns(struct bp_machine *machine)
{
    int64_t now;

    if (follows_host) {
        now = bp_clock_ns(BP_CLOCK_HOST);
        return bpc_config.rtc.base == BPC_RTC_LOCALTIME ? now + zone_ns(now) : now;
    }
    return base_ns + (source_ns(machine) - clock_ns);
}
