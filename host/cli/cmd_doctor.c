/* SPDX-License-Identifier: MIT
 * cmd_doctor.c -- `dlf doctor`: what works on this machine, what does not, what to do. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "cli/commands.h"
#include "cli/doctor.h"

static const char *const level_names[] = {"ok", "warn", "fail"};

static void describe_device(doctor *d, const char *id, const dlf_device *dev)
{
    const dlf_device_info *i = &dev->info;
    char memory[32] = "";
    if (i->memory_bytes > 0)
        snprintf(memory, sizeof memory, ", %.1f GB", (double)i->memory_bytes / 1e9);
    doctor_add(d, id, DOCTOR_OK, (dlf_text){NULL, NULL}, "%s: %s, %s, %d %s%s", i->backend, i->name,
               i->detail, i->threads,
               strcmp(i->backend, "cuda") == 0 ? "multiprocessors" : "threads", memory);
}

/* The CPU is described whatever the device is: it drives every run. */
static void check_cpu(doctor *d)
{
    dlf_device *cpu = NULL;
    if (dlf_device_open(&cpu, "cpu") == DLF_OK)
        describe_device(d, "cpu", cpu);
    else
        doctor_add(d, "cpu", DOCTOR_FAIL,
                   (dlf_text){"检查 DLF_CPU_LEVEL、DLF_BLAS", "look at DLF_CPU_LEVEL and DLF_BLAS"},
                   "%s", dlf_error_message());
    dlf_device_close(cpu);
}

/* The device that runs would use; its status decides the exit code. */
static dlf_status check_device(doctor *d, const char *spec)
{
    dlf_device *dev = NULL;
    const dlf_status status = dlf_device_open(&dev, spec);
    if (status != DLF_OK) {
        doctor_add(d, "device", DOCTOR_FAIL, (dlf_text){"用 --device cpu", "use --device cpu"},
                   "%s", dlf_error_message());
        return status;
    }
    describe_device(d, "device", dev);
    doctor_measure(d, dev);
    dlf_device_close(dev);
    return DLF_OK;
}

static void print_text(const doctor *d, const cli_language *l)
{
    static const char *const colours[] = {"\x1b[32m", "\x1b[33m", "\x1b[31m"};
    const bool coloured = cli_has_colours(stdout);
    int count[3] = {0};
    for (int i = 0; i < d->n; i++) {
        const doctor_item *item = &d->item[i];
        count[item->level]++;
        printf("%s%-4s%s  %-13s %s\n", coloured ? colours[item->level] : "",
               level_names[item->level], coloured ? "\x1b[0m" : "", item->id, item->value);
        if (item->advice.zh) printf("      %-13s → %s\n", "", cli_say(l, item->advice));
    }
    printf("%d ok, %d warn, %d fail\n", count[0], count[1], count[2]);
}

static dlf_status print_json(const doctor *d)
{
    json_t *items = json_array();
    for (int i = 0; i < d->n; i++) {
        const doctor_item *item = &d->item[i];
        json_t *one = json_pack("{s:s, s:s, s:s}", "id", item->id, "status",
                                level_names[item->level], "value", item->value);
        if (item->advice.zh)
            json_object_set_new(
                one, "advice",
                json_pack("{s:s, s:s}", "zh", item->advice.zh, "en", item->advice.en));
        if (!isnan(item->number)) {
            json_object_set_new(one, "number", json_real(item->number));
            json_object_set_new(one, "unit", json_string(item->unit));
        }
        json_array_append_new(items, one);
    }
    json_t *document = json_pack("{s:s, s:s, s:o}", "schema", "dlf.doctor/1", "version",
                                 DLF_VERSION, "items", items);
    char *text = document ? json_dumps(document, JSON_INDENT(2)) : NULL;
    json_decref(document);
    if (!text) return dlf_fail(DLF_ERR_OOM, "no memory for the JSON text");
    puts(text);
    free(text);
    return DLF_OK;
}

static dlf_status run(const cli_call *call)
{
    DLF_TRY(cli_at_most(call->args, 0));
    const char *spec = cli_value(call->args, "device", "auto");
    doctor d = {.n = 0};
    doctor_check_build(&d);
    doctor_check_cuda(&d);
    check_cpu(&d);
    doctor_check_tools(&d);
    doctor_check_data(&d, cli_value(call->args, "data", NULL));
    doctor_check_output(&d, cli_value(call->args, "out", "out"));
    const dlf_status device_status = check_device(&d, spec);
    /* "--device nonsense" is a usage error, not a finding. */
    if (device_status == DLF_ERR_ARG) return device_status;
    char message[320];
    snprintf(message, sizeof message, "%s", dlf_error_message());
    if (cli_has(call->args, "json"))
        DLF_TRY(print_json(&d));
    else
        print_text(&d, call->language);
    return device_status == DLF_OK ? DLF_OK : dlf_fail(device_status, "%s", message);
}

static const cli_flag flags[] = {
    CLI_FLAG("device", 0, "auto|cpu|cuda|cuda:N|ref", "检查并测量的设备，默认 auto",
             "device to check and measure, default auto"),
    CLI_FLAG("out", 'o', "DIR", "要写入的目录，默认 out",
             "directory that runs would write to, default out"),
    CLI_FLAG("data", 0, "DIR", "要查找数据集的目录，默认取自 DLF_DATA",
             "where to look for data sets, default from DLF_DATA"),
    CLI_FLAG("json", 0, NULL, "输出 JSON", "print JSON"),
    CLI_FLAG_LANG,
    CLI_FLAG_HELP,
    CLI_FLAGS_END,
};

const cli_command cli_doctor = {
    .name = "doctor",
    .synopsis = "[--device D] [--json]",
    .summary = {"检查本机：驱动、设备、库、字体，并实测带宽与矩阵乘速度",
                "check this machine: driver, devices, libraries, fonts, measured speed"},
    .examples = "  dlf doctor\n  dlf doctor --device cuda:0 --json\n",
    .details = {"退出码：0；所选设备不可用时 4",
                "Exit code: 0; 4 when the device asked for is unusable"},
    .flags = flags,
    .run = run};
