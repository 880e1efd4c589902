/* A small stand-in for the NVIDIA driver library, for tests of this package and of the whole program.
 *
 * Build it as libnvidia-ml.so.1 and put its folder into LD_LIBRARY_PATH of the process that is to find it:
 *
 *     cc -shared -fPIC -o DIR/libnvidia-ml.so.1 fakenvml.c
 *
 * Its readings come from the text file named by FAKENVML_VALUES, read anew at each call, so that a test
 * changes them while the program runs (write a new file and rename it over the old one). Lines are "KEY
 * VALUE"; KEY is "count" (of GPUs), "init" (the code nvmlInit returns), or "INDEX.READING":
 *
 *     name uuid capability (86 is 8.6) mig (0 or 1)
 *     used reserved total           bytes
 *     gpu_util memory_util          percent
 *     power power_limit             mW
 *     energy                        mJ
 *     sm_clock mem_clock            MHz
 *     temperature                   degrees C
 *     event_reasons                 bits: 4 power cap, 8 hw slowdown, 32 sw thermal, 64 hw thermal, 128 power brake
 *     ecc                           uncorrectable errors
 *     xid                           an error number: told once each time the value changes
 *     pcie_tx pcie_rx               KB/s; each call sleeps 20 ms, as the real one does
 *     processes                     PID:BYTES pairs separated by spaces, BYTES may be left out
 *
 * "process.PID NAME" names a process. A reading that is not in the file, or is "notsupported", is not
 * supported by the GPU. A number may move with time: "LOW~HIGH/MS" is LOW for MS milliseconds, then HIGH as
 * long; "+N" grows by N a second (so that "energy +350000" goes with "power 350000"). "hang.READING
 * MS" lets each call of that reading take so many milliseconds ("hang.init" for the initialisation).
 *
 * -DLACK_X leaves a function out, as an older driver does; -DFIXED reads no file: eight GPUs, each reading 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int ret_t; /* nvmlReturn_t */
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, TIMEOUT = 10 };
enum { XID_EVENT = 8 };
typedef void *device_t;

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned int version; unsigned long long total, reserved, free, used; };
struct utilisation { unsigned int gpu, memory; };
struct event { device_t device; unsigned long long type, data; unsigned int gpu_instance, compute_instance; };
struct process { unsigned int pid; unsigned long long memory; unsigned int gpu_instance, compute_instance; };

#ifdef FIXED
static int find(const char *key, char *value, size_t size) {
    if (strcmp(key, "init") == 0 || strncmp(key, "hang.", 5) == 0 || strstr(key, ".mig")) return 0;
    snprintf(value, size, strcmp(key, "count") == 0 ? "8" : "2");
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

static void wait_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void hang(const char *reading) {
    char key[64], value[64];
    snprintf(key, sizeof key, "hang.%s", reading);
    if (find(key, value, sizeof value)) wait_ms(atol(value));
}

static ret_t text(device_t device, const char *reading, char *value, size_t size) {
    char key[64];
    hang(reading);
    snprintf(key, sizeof key, "%d.%s", (int)(size_t)device - 1, reading);
    if (!find(key, value, size) || strcmp(value, "notsupported") == 0) return NOT_SUPPORTED;
    return SUCCESS;
}

/* at_this_time reads a number that may move with time. */
static unsigned long long at_this_time(const char *value) {
    unsigned long long low, high;
    long ms;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (value[0] == '+') return (unsigned long long)(atof(value + 1) * (t.tv_sec + t.tv_nsec / 1e9));
    if (sscanf(value, "%llu~%llu/%ld", &low, &high, &ms) == 3)
        return (t.tv_sec * 1000 + t.tv_nsec / 1000000) / ms % 2 ? high : low;
    return strtoull(value, NULL, 10);
}

static ret_t number(device_t device, const char *reading, unsigned long long *n) {
    char value[64];
    ret_t ret = text(device, reading, value, sizeof value);
    if (ret == SUCCESS) *n = at_this_time(value);
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
const char *nvmlErrorString(ret_t ret) { return ret == 9 ? "Driver Not Loaded" : ret == 3 ? "Not Supported" : "Some Error"; }
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

#ifndef LACK_ENERGY
ret_t nvmlDeviceGetTotalEnergyConsumption(device_t d, unsigned long long *mj) { return number(d, "energy", mj); }
#endif
#ifndef LACK_EVENT_REASONS
ret_t nvmlDeviceGetCurrentClocksEventReasons(device_t d, unsigned long long *bits) { return number(d, "event_reasons", bits); }
#endif
#ifndef LACK_THROTTLE_REASONS
ret_t nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, unsigned long long *bits) { return number(d, "event_reasons", bits); }
#endif
#ifndef LACK_ECC
ret_t nvmlDeviceGetTotalEccErrors(device_t d, int type, int counter, unsigned long long *n) {
    return type == 1 && counter == 0 ? number(d, "ecc", n) : INVALID_ARGUMENT;
}
#endif
#ifndef LACK_PCIE
ret_t nvmlDeviceGetPcieThroughput(device_t d, int counter, unsigned int *kb) {
    ret_t ret = number32(d, counter == 0 ? "pcie_tx" : "pcie_rx", kb);
    if (ret == SUCCESS) wait_ms(20);
    return ret;
}
#endif

/* A set of events is of one device here, as the program asks for it. */
#ifndef LACK_XID
struct set { device_t device; char told[64]; };

ret_t nvmlEventSetCreate(struct set **set) {
    *set = calloc(1, sizeof **set);
    return SUCCESS;
}

ret_t nvmlEventSetFree(struct set *set) {
    free(set);
    return SUCCESS;
}

ret_t nvmlDeviceGetSupportedEventTypes(device_t d, unsigned long long *types) {
    char value[64];
    *types = text(d, "xid", value, sizeof value) == SUCCESS ? XID_EVENT : 0;
    return SUCCESS;
}

ret_t nvmlDeviceRegisterEvents(device_t d, unsigned long long types, struct set *set) {
    set->device = d;
    text(d, "xid", set->told, sizeof set->told); /* what was there before is no event */
    return types == XID_EVENT ? SUCCESS : INVALID_ARGUMENT;
}

ret_t nvmlEventSetWait_v2(struct set *set, struct event *event, unsigned int ms) {
    char value[64];
    if (text(set->device, "xid", value, sizeof value) != SUCCESS || strcmp(value, set->told) == 0) {
        wait_ms(ms);
        return TIMEOUT;
    }
    snprintf(set->told, sizeof set->told, "%s", value);
    *event = (struct event){set->device, XID_EVENT, strtoull(value, NULL, 10), ~0u, ~0u};
    return SUCCESS;
}
#endif

#ifndef LACK_PROCESSES
ret_t nvmlDeviceGetComputeRunningProcesses_v3(device_t d, unsigned int *count, struct process *processes) {
    char value[256], *at = value, *end;
    unsigned int room = *count, n = 0;
    ret_t ret = text(d, "processes", value, sizeof value);
    if (ret != SUCCESS) return ret;
    for (;; at = end, n++) {
        unsigned long pid = strtoul(at, &end, 10);
        unsigned long long memory = ~0ull; /* not available */
        if (end == at) break;
        if (*end == ':') memory = strtoull(end + 1, &end, 10);
        if (n < room) processes[n] = (struct process){(unsigned int)pid, memory, ~0u, ~0u};
    }
    *count = n;
    return n > room ? INSUFFICIENT_SIZE : SUCCESS;
}
#endif
#ifndef LACK_PROCESS_NAME
ret_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length) {
    char key[64];
    snprintf(key, sizeof key, "process.%u", pid);
    return find(key, name, length) ? SUCCESS : NOT_FOUND;
}
#endif
