/* A small stand-in for the NVIDIA driver library, for tests. Its readings come from the text file
 * named by FAKENVML_VALUES, read anew at each call: lines "KEY VALUE", KEY being "count", "init" or
 * "INDEX.reading". A value of "notsupported" makes the call return that code; a key "hang.reading"
 * gives milliseconds to sleep in the call. -DLACK_X leaves a function out, as an older driver does;
 * -DFIXED makes every reading 2 and reads no file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int ret_t; /* nvmlReturn_t */
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };
typedef void *device_t;

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned int version; unsigned long long total, reserved, free, used; };
struct utilisation { unsigned int gpu, memory; };
struct process { unsigned int pid; unsigned long long memory; unsigned int gpu_instance, compute_instance; };

#ifdef FIXED
static int find(const char *key, char *value, size_t size) {
    if (strcmp(key, "init") == 0 || strncmp(key, "hang.", 5) == 0) return 0;
    snprintf(value, size, "2");
    return 1;
}
#else
static int find(const char *key, char *value, size_t size) {
    const char *path = getenv("FAKENVML_VALUES");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    size_t length = strlen(key);
    int found = 0;
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    fclose(file);
    return found;
}
#endif

static void hang(const char *reading) {
    char key[64], value[64];
    snprintf(key, sizeof key, "hang.%s", reading);
    if (find(key, value, sizeof value)) {
        long ms = atol(value);
        struct timespec t = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&t, NULL);
    }
}

static ret_t text(device_t device, const char *reading, char *value, size_t size) {
    char key[64];
    hang(reading);
    snprintf(key, sizeof key, "%d.%s", (int)(size_t)device - 1, reading);
    if (!find(key, value, size) || strcmp(value, "notsupported") == 0) return NOT_SUPPORTED;
    return SUCCESS;
}

static ret_t number(device_t device, const char *reading, unsigned long long *n) {
    char value[64];
    ret_t ret = text(device, reading, value, sizeof value);
    if (ret == SUCCESS) *n = strtoull(value, NULL, 10);
    return ret;
}

static ret_t number32(device_t device, const char *reading, unsigned int *n) {
    unsigned long long wide = 0;
    ret_t ret = number(device, reading, &wide);
    if (ret == SUCCESS) *n = (unsigned int)wide;
    return ret;
}

#ifndef LACK_INIT
ret_t nvmlInit_v2(void) {
    char value[64];
    hang("init");
    return find("init", value, sizeof value) ? atoi(value) : SUCCESS;
}
#endif

ret_t nvmlShutdown(void) { return SUCCESS; }

#ifndef LACK_ERROR_STRING
const char *nvmlErrorString(ret_t ret) { return ret == 9 ? "Driver Not Loaded" : "Some Error"; }
#endif

ret_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "570.86.15");
    return SUCCESS;
}

ret_t nvmlDeviceGetCount_v2(unsigned int *count) {
    char value[64];
    *count = find("count", value, sizeof value) ? (unsigned int)atoi(value) : 0;
    return SUCCESS;
}

ret_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device) {
    unsigned int count;
    nvmlDeviceGetCount_v2(&count);
    if (index >= count) return INVALID_ARGUMENT;
    *device = (device_t)(size_t)(index + 1);
    return SUCCESS;
}

#ifndef LACK_NAME
ret_t nvmlDeviceGetName(device_t d, char *name, unsigned int length) { return text(d, "name", name, length); }
#endif
#ifndef LACK_UUID
ret_t nvmlDeviceGetUUID(device_t d, char *uuid, unsigned int length) { return text(d, "uuid", uuid, length); }
#endif

#ifndef LACK_CAPABILITY
ret_t nvmlDeviceGetCudaComputeCapability(device_t d, int *major, int *minor) {
    unsigned int n;
    ret_t ret = number32(d, "capability", &n);
    if (ret == SUCCESS) *major = n / 10, *minor = n % 10;
    return ret;
}
#endif

#ifndef LACK_POWER_LIMIT
ret_t nvmlDeviceGetEnforcedPowerLimit(device_t d, unsigned int *mw) { return number32(d, "power_limit", mw); }
#endif

/* The first form counts what the driver reserves into "used"; the second keeps it apart. */
#ifndef LACK_MEMORY
ret_t nvmlDeviceGetMemoryInfo(device_t d, struct memory *m) {
    unsigned long long reserved = 0;
    ret_t ret = number(d, "used", &m->used);
    if (ret != SUCCESS) return ret;
    number(d, "reserved", &reserved);
    number(d, "total", &m->total);
    m->used += reserved;
    m->free = m->total - m->used;
    return SUCCESS;
}
#endif
#ifndef LACK_MEMORY_V2
ret_t nvmlDeviceGetMemoryInfo_v2(device_t d, struct memory_v2 *m) {
    ret_t ret;
    if (m->version != (sizeof *m | 2u << 24)) return 25; /* argument version mismatch */
    if ((ret = number(d, "used", &m->used)) != SUCCESS) return ret;
    m->reserved = 0;
    number(d, "reserved", &m->reserved);
    number(d, "total", &m->total);
    m->free = m->total - m->used - m->reserved;
    return SUCCESS;
}
#endif

#ifndef LACK_UTILISATION
ret_t nvmlDeviceGetUtilizationRates(device_t d, struct utilisation *u) {
    ret_t ret = number32(d, "gpu_util", &u->gpu);
    return ret == SUCCESS ? number32(d, "memory_util", &u->memory) : ret;
}
#endif
#ifndef LACK_POWER
ret_t nvmlDeviceGetPowerUsage(device_t d, unsigned int *mw) { return number32(d, "power", mw); }
#endif
#ifndef LACK_CLOCKS
ret_t nvmlDeviceGetClockInfo(device_t d, int type, unsigned int *mhz) {
    return number32(d, type == 1 ? "sm_clock" : type == 2 ? "mem_clock" : "other_clock", mhz);
}
#endif
#ifndef LACK_TEMPERATURE
ret_t nvmlDeviceGetTemperature(device_t d, int sensor, unsigned int *celsius) {
    return sensor == 0 ? number32(d, "temperature", celsius) : INVALID_ARGUMENT;
}
#endif
#ifndef LACK_MIG
ret_t nvmlDeviceGetMigMode(device_t d, unsigned int *current, unsigned int *pending) {
    ret_t ret = number32(d, "mig", current);
    *pending = *current;
    return ret;
}
#endif

/* "pids" is a list separated by spaces. */
#ifndef LACK_PROCESSES
ret_t nvmlDeviceGetComputeRunningProcesses_v3(device_t d, unsigned int *count, struct process *processes) {
    char value[256], *at = value, *end;
    unsigned int room = *count, n = 0;
    ret_t ret = text(d, "pids", value, sizeof value);
    if (ret != SUCCESS) return ret;
    for (;; at = end, n++) {
        unsigned long pid = strtoul(at, &end, 10);
        if (end == at) break;
        if (n < room) processes[n] = (struct process){(unsigned int)pid, 0, ~0u, ~0u};
    }
    *count = n;
    return n > room ? INSUFFICIENT_SIZE : SUCCESS;
}
#endif
