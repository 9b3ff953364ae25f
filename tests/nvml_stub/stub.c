/* A libnvidia-ml.so.1 without hardware behind it, for the real pynvml to load.

   It answers what the file named by $FTUI_NVML_STUB says, read anew at each call: lines
   `key=value`, where `key.N` is for card N alone. `rc.FUNCTION=CODE` makes a function fail,
   `hang.FUNCTION=SECONDS` makes it hang. Cards are numbered from `first` on, so that a card can go
   and its number pass to the next one. Another `session` means that the driver was restarted:
   nothing answers until it is initialised again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int rc_t;
typedef void *card_t; /* the card's own number plus one */
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_v1;
typedef struct { unsigned version; u64 total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version, sensor; int degrees; } temperature_t;
typedef struct { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; } process_t;

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };
enum { NONE = -1 }; /* no card in particular */

static int find(const char *key, char *value, size_t size) {
  const char *path = getenv("FTUI_NVML_STUB");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[512];
  int found = 0;
  while (file && !found && fgets(line, sizeof line, file)) {
    char *equals = strchr(line, '=');
    if (!equals) continue;
    *equals = 0;
    if (strcmp(line, key)) continue;
    snprintf(value, size, "%s", equals + 1);
    value[strcspn(value, "\n")] = 0;
    found = 1;
  }
  if (file) fclose(file);
  return found;
}

static int setting(const char *key, int card, char *value, size_t size) {
  char own[256];
  snprintf(own, sizeof own, "%s.%d", key, card);
  return (card != NONE && find(own, value, size)) || find(key, value, size);
}

static u64 number(const char *key, int card, u64 otherwise) {
  char value[256];
  return setting(key, card, value, sizeof value) ? strtoull(value, NULL, 0) : otherwise;
}

static void words(const char *key, int card, const char *otherwise, char *out, unsigned size) {
  char value[256];
  snprintf(out, size, "%s", setting(key, card, value, sizeof value) ? value : otherwise);
}

static int number_of(card_t card) { return (int)(intptr_t)card - 1; }

static u64 session; /* that init opened; 0: none */

static rc_t rc(const char *function, int card) {
  char key[256];
  int is_init = !strcmp(function, "nvmlInitWithFlags");
  snprintf(key, sizeof key, "hang.%s", function);
  sleep((unsigned)number(key, card, 0));
  if (!is_init && session != number("session", NONE, 1)) return UNINITIALIZED;
  snprintf(key, sizeof key, "rc.%s", function);
  return (rc_t)number(key, card, OK);
}

#define FAIL_IF_TOLD(card) \
  do { rc_t told = rc(__func__, card); if (told) return told; } while (0)

rc_t nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  FAIL_IF_TOLD(NONE);
  session = number("session", NONE, 1);
  return OK;
}

rc_t nvmlShutdown(void) { session = 0; return OK; }
const char *nvmlErrorString(rc_t code) { (void)code; return "words of the driver"; }

rc_t nvmlSystemGetDriverVersion(char *out, unsigned size) {
  FAIL_IF_TOLD(NONE);
  words("driver", NONE, "580.65.06", out, size);
  return OK;
}

rc_t nvmlSystemGetCudaDriverVersion(int *version) {
  FAIL_IF_TOLD(NONE);
  *version = (int)number("cuda", NONE, 13000);
  return OK;
}

rc_t nvmlDeviceGetCount_v2(unsigned *count) {
  FAIL_IF_TOLD(NONE);
  *count = (unsigned)number("count", NONE, 2);
  return OK;
}

rc_t nvmlDeviceGetHandleByIndex_v2(unsigned index, card_t *card) {
  if (index >= number("count", NONE, 2)) return INVALID_ARGUMENT;
  int own = (int)(index + number("first", NONE, 0));
  FAIL_IF_TOLD(own);
  *card = (card_t)(intptr_t)(own + 1);
  return OK;
}

rc_t nvmlDeviceGetUUID(card_t card, char *out, unsigned size) {
  FAIL_IF_TOLD(number_of(card));
  snprintf(out, size, "GPU-%08x-1111-2222-3333-444444444444", 0xa0u + (unsigned)number_of(card));
  return OK;
}

rc_t nvmlDeviceGetName(card_t card, char *out, unsigned size) {
  FAIL_IF_TOLD(number_of(card));
  words("name", number_of(card), "NVIDIA H100 80GB HBM3", out, size);
  return OK;
}

rc_t nvmlDeviceGetMemoryInfo(card_t card, memory_v1 *memory) {
  FAIL_IF_TOLD(number_of(card));
  u64 reserved = number("memory_reserved", number_of(card), 500000000);
  memory->total = number("memory_total", number_of(card), 80000000000);
  memory->used = number("memory_used", number_of(card), 20000000000) + reserved;
  memory->free = memory->total - memory->used;
  return OK;
}

rc_t nvmlDeviceGetMemoryInfo_v2(card_t card, memory_v2 *memory) {
  FAIL_IF_TOLD(number_of(card));
  if (memory->version != (sizeof *memory | 2u << 24)) return 25; /* version mismatch */
  memory->reserved = number("memory_reserved", number_of(card), 500000000);
  memory->total = number("memory_total", number_of(card), 80000000000);
  memory->used = number("memory_used", number_of(card), 20000000000);
  memory->free = memory->total - memory->used - memory->reserved;
  return OK;
}

rc_t nvmlDeviceGetUtilizationRates(card_t card, utilization_t *rates) {
  FAIL_IF_TOLD(number_of(card));
  rates->gpu = (unsigned)number("utilization", number_of(card), 98);
  rates->memory = (unsigned)number("memory_utilization", number_of(card), 41);
  return OK;
}

rc_t nvmlDeviceGetTemperatureV(card_t card, temperature_t *temperature) {
  FAIL_IF_TOLD(number_of(card));
  temperature->degrees = (int)number("temperature", number_of(card), 64);
  return OK;
}

rc_t nvmlDeviceGetTemperature(card_t card, unsigned sensor, unsigned *degrees) {
  (void)sensor;
  FAIL_IF_TOLD(number_of(card));
  *degrees = (unsigned)number("old_temperature", number_of(card), 63);
  return OK;
}

rc_t nvmlDeviceGetTemperatureThreshold(card_t card, unsigned threshold, unsigned *degrees) {
  FAIL_IF_TOLD(number_of(card));
  if (threshold != 1) return NOT_SUPPORTED; /* 1: where it slows down */
  *degrees = (unsigned)number("temperature_limit", number_of(card), 87);
  return OK;
}

rc_t nvmlDeviceGetPowerUsage(card_t card, unsigned *milliwatts) {
  FAIL_IF_TOLD(number_of(card));
  *milliwatts = (unsigned)number("power_mw", number_of(card), 412300);
  return OK;
}

rc_t nvmlDeviceGetEnforcedPowerLimit(card_t card, unsigned *milliwatts) {
  FAIL_IF_TOLD(number_of(card));
  *milliwatts = (unsigned)number("power_limit_mw", number_of(card), 700000);
  return OK;
}

rc_t nvmlDeviceGetClockInfo(card_t card, unsigned clock, unsigned *mhz) {
  FAIL_IF_TOLD(number_of(card));
  *mhz = (unsigned)(clock == 2 ? number("memory_clock", number_of(card), 2619)
                               : number("sm_clock", number_of(card), 1755));
  return OK;
}

rc_t nvmlDeviceGetMaxClockInfo(card_t card, unsigned clock, unsigned *mhz) {
  (void)clock;
  FAIL_IF_TOLD(number_of(card));
  *mhz = (unsigned)number("max_sm_clock", number_of(card), 1980);
  return OK;
}

rc_t nvmlDeviceGetCurrentClocksEventReasons(card_t card, u64 *bits) {
  FAIL_IF_TOLD(number_of(card));
  *bits = number("throttle", number_of(card), 0);
  return OK;
}

rc_t nvmlDeviceGetCurrentClocksThrottleReasons(card_t card, u64 *bits) {
  FAIL_IF_TOLD(number_of(card));
  *bits = number("old_throttle", number_of(card), 0);
  return OK;
}

rc_t nvmlDeviceGetFanSpeed(card_t card, unsigned *percent) {
  FAIL_IF_TOLD(number_of(card));
  *percent = (unsigned)number("fan", number_of(card), 30);
  return OK;
}

rc_t nvmlDeviceGetCudaComputeCapability(card_t card, int *major, int *minor) {
  FAIL_IF_TOLD(number_of(card));
  u64 capability = number("capability", number_of(card), 90);
  *major = (int)(capability / 10);
  *minor = (int)(capability % 10);
  return OK;
}

rc_t nvmlDeviceGetMigMode(card_t card, unsigned *now, unsigned *after_reset) {
  FAIL_IF_TOLD(number_of(card));
  *now = (unsigned)number("mig", number_of(card), 0);
  *after_reset = 1; /* never what is asked about */
  return OK;
}

static rc_t process(const char *kind, int card, unsigned *count, process_t *processes) {
  char key[64];
  snprintf(key, sizeof key, "%s_pid", kind);
  unsigned pid = (unsigned)number(key, card, 0), room = *count;
  *count = pid ? 1 : 0;
  if (!pid) return OK;
  if (room < 1 || !processes) return INSUFFICIENT_SIZE;
  snprintf(key, sizeof key, "%s_memory", kind);
  processes[0].pid = pid;
  processes[0].memory = number(key, card, 18000000000);
  processes[0].gpu_instance = processes[0].compute_instance = 0xFFFFFFFF;
  return OK;
}

rc_t nvmlDeviceGetComputeRunningProcesses_v3(card_t card, unsigned *count, process_t *out) {
  FAIL_IF_TOLD(number_of(card));
  return process("compute", number_of(card), count, out);
}

rc_t nvmlDeviceGetComputeRunningProcesses_v2(card_t card, unsigned *count, process_t *out) {
  FAIL_IF_TOLD(number_of(card));
  return process("compute", number_of(card), count, out);
}

rc_t nvmlDeviceGetGraphicsRunningProcesses_v3(card_t card, unsigned *count, process_t *out) {
  FAIL_IF_TOLD(number_of(card));
  return process("graphics", number_of(card), count, out);
}
