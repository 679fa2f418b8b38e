/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that wait, and one that crashes; and a last word when the process ends. */
#include <bp/command.h>
#include <bp/coroutine.h>

#include <errno.h>
#include <stdio.h>

static const struct bp_field sleep_args[] = {
    BP_ARG("ms", UINT32, "how long"), BP_FIELDS_END,
};

static unsigned cancelled;

static int patient_sleep(uint64_t ms, struct bp_value **ret_value, struct bp_error *err)
{
    int ret = bp_co_sleep(BP_CLOCK_REALTIME, (int64_t)ms * 1000000);

    if (ret < 0) {
        cancelled++;
        return bp_fail(err, -ret, "the sleep was cancelled");
    }
    *ret_value = bp_value_uint(ms);
    return 0;
}
BP_COMMAND(cmd_sleep, "patient-sleep", "Sleeps in a coroutine", sleep_args, UINT64, NULL, patient_sleep,
           BP_COMMAND_COROUTINE);

static int patient_cancelled(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_uint(cancelled);
    return 0;
}
BP_COMMAND(cmd_cancelled, "patient-cancelled", "How many sleeps were cancelled", NULL, UINT64, NULL,
           patient_cancelled, BP_COMMAND_OOB);

static volatile int *volatile nowhere;

static int patient_crash(struct bp_error *err)
{
    (void)err;
    *nowhere = 1;
    return 0;
}
BP_COMMAND(cmd_crash, "patient-crash", "Writes where nothing is", NULL, NONE, NULL, patient_crash, 0);

static void hmp_sleep(struct bp_monitor *mon, struct bp_value *args)
{
    int ret = bp_co_sleep(BP_CLOCK_REALTIME, bp_value_as_int(bp_value_get(args, "ms")) * 1000000);

    bp_monitor_printf(mon, "%s\n", ret < 0 ? "cancelled" : "slept");
}
BP_HMP(hmp_patient, "patient_sleep", "ms", "sleeps in a coroutine", sleep_args, hmp_sleep);

static void fini(void)
{
    fputs("patient: the end\n", stderr);
}

BP_MODULE_WITH_FINI("patient", "Commands that wait", BP_NO_IMPORTS, NULL, fini,
                    {BP_PROVIDE_COMMAND, &cmd_sleep}, {BP_PROVIDE_COMMAND, &cmd_cancelled},
                    {BP_PROVIDE_COMMAND, &cmd_crash}, {BP_PROVIDE_HMP, &hmp_patient});
