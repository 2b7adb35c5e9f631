/* A load client for HTTP/1.1 on 127.0.0.1: one thread, one epoll, keep-alive connections each of
 * which sends its next request when it has its answer. See load_client.py, which compiles it.
 *
 *     load -p PORT -c CONNECTIONS (-d SECONDS | -n REQUESTS) [-w WARM-UP] [-s SEED] [-t TIMEOUT]
 *          REQUESTS ANSWERS
 *
 * REQUESTS holds whole requests, each after its length (uint32); which one is sent is drawn at
 * random, or in order with seed 0. Figures go to stdout as JSON. ANSWERS gets every distinct
 * answer: struct Entry, then its body. Latency counts from the first byte sent, or from the connect
 * where one was needed, to the last byte read. A request that fails is not sent again.
 * All numbers are in the machine's own byte order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FAILURES = 100000, MAX_STATUS = 1000, MAX_SECONDS = 100000 };
static const double RETRY_SECONDS = 0.01, SWEEP_SECONDS = 0.1;

enum State { WAITING, CONNECTING, SENDING, READING };

struct Request {
    const char *bytes;
    uint32_t length;
};

struct Connection {
    int fd;
    enum State state;
    int asks_writable, used;
    uint32_t request;
    size_t sent;
    double started, resume;
    char *in;
    size_t held, room;
};

struct Entry {
    uint64_t count;
    uint32_t request, status, length, padding;
};

struct Answer {
    struct Entry entry;
    uint64_t hash;
    char *body;
};

struct Failure {
    double at;
    char kind[64];
};

static struct Request *requests;
static uint32_t request_count;
static struct Connection *connections;
static int connection_count = 1, port, poll_fd;
static double duration, warm_up, timeout = 60, begun;
static uint64_t wanted, issued, ended, reconnects, seed = 1;

static struct Answer *answers;
static size_t answer_count, answer_room = 1 << 12;
static float *latencies;
static size_t latency_count, latency_room = 1 << 16;
static uint64_t statuses[MAX_STATUS], counted;
static uint32_t *timeline;
static struct Failure *failures;
static size_t failure_count;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *sized(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory) die("memory");
    return memory;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* xorshift64*, Marsaglia 2003 and Vigna 2016 */
static uint64_t drawn(void) {
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1DULL;
}

static uint64_t hashed(uint64_t hash, const char *bytes, size_t length) {
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 29;
    }
    for (; length; bytes++, length--) hash = (hash ^ (unsigned char)*bytes) * 0x100000001B3ULL;
    return hash ^ hash >> 32;
}

static struct Answer *slot(struct Answer *table, size_t room, const struct Answer *like) {
    for (size_t i = like->hash & (room - 1);; i = (i + 1) & (room - 1)) {
        struct Answer *a = table + i;
        if (!a->entry.count) return a;
        if (a->hash == like->hash && a->entry.request == like->entry.request &&
            a->entry.status == like->entry.status && a->entry.length == like->entry.length &&
            !memcmp(a->body, like->body, like->entry.length))
            return a;
    }
}

static void keep(uint32_t request, int status, char *body, size_t length) {
    struct Answer like = {{0, request, status, length, 0}, 0, body};
    like.hash = hashed((uint64_t)request * MAX_STATUS + status, body, length);
    struct Answer *found = slot(answers, answer_room, &like);
    if (found->entry.count++) return;
    like.body = sized(NULL, length + 1);
    memcpy(like.body, body, length);
    like.entry.count = 1;
    *found = like;
    if (++answer_count * 2 < answer_room) return;
    struct Answer *larger = calloc(answer_room * 2, sizeof *larger);
    if (!larger) die("memory");
    for (size_t i = 0; i < answer_room; i++)
        if (answers[i].entry.count) *slot(larger, answer_room * 2, answers + i) = answers[i];
    free(answers);
    answers = larger;
    answer_room *= 2;
}

static void failed(double at, const char *format, ...) {
    if (failure_count++ >= MAX_FAILURES) return;
    struct Failure *f = failures + failure_count - 1;
    f->at = at - begun;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->kind, sizeof f->kind, format, arguments);
    va_end(arguments);
}

static void watch(struct Connection *c, int how, int writable) {
    struct epoll_event event = {EPOLLIN | (writable ? EPOLLOUT : 0), {.ptr = c}};
    if (epoll_ctl(poll_fd, how, c->fd, &event)) die("epoll_ctl");
    c->asks_writable = writable;
}

static void disconnect(struct Connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void begin(struct Connection *c, double at);

static void fail(struct Connection *c, double at, const char *what, int error) {
    failed(at, error ? "%s: %s" : "%s", what, strerror(error));
    ended++;
    disconnect(c);
    c->state = WAITING;
    c->resume = at + RETRY_SECONDS;
}

static void transmit(struct Connection *c) {
    struct Request *r = requests + c->request;
    while (c->sent < r->length) {
        ssize_t n = send(c->fd, r->bytes + c->sent, r->length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (!c->asks_writable) watch(c, EPOLL_CTL_MOD, 1);
            return;
        }
        /* A server may answer and close before it has read everything: read what it said. */
        if (n < 0) break;
        c->sent += n;
    }
    if (c->asks_writable) watch(c, EPOLL_CTL_MOD, 0);
    c->state = READING;
}

static void begin(struct Connection *c, double at) {
    c->state = WAITING;
    c->resume = 1e300;
    if (wanted ? issued >= wanted : at >= begun + warm_up + duration) return;
    c->request = seed ? drawn() % request_count : issued % request_count;
    issued++;
    c->started = at;
    c->sent = c->held = 0;
    c->state = SENDING;
    if (c->fd >= 0) {
        transmit(c);
        return;
    }
    reconnects += c->used;
    c->used = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        fail(c, at, "connect", errno);
        return;
    }
    c->state = CONNECTING;
    watch(c, EPOLL_CTL_ADD, 1);
}

/* The value of a header in [start, end), or NULL. */
static const char *header(const char *start, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *line = start; line && line < end;) {
        if ((size_t)(end - line) > length && !strncasecmp(line, name, length) &&
            line[length] == ':') {
            for (line += length + 1; *line == ' '; line++);
            return line;
        }
        line = memmem(line, end - line, "\r\n", 2);
        if (line) line += 2;
    }
    return NULL;
}

/* Joins the chunks in place: their length, -1 where more is to come, -2 where they are malformed. */
static ssize_t unchunked(char *body, size_t held) {
    size_t read = 0, written = 0;
    for (;;) {
        char *line = memmem(body + read, held - read, "\r\n", 2), *end;
        if (!line) return -1;
        size_t size = strtoul(body + read, &end, 16);
        if (end == body + read) return -2;
        read = line + 2 - body;
        if (held - read < size + 2) return -1;
        if (!size) return written;
        memmove(body + written, body + read, size);
        written += size;
        read += size + 2;
    }
}

static void answered(struct Connection *c, int status, char *body, size_t length, int closes) {
    double at = now();
    keep(c->request, status, body, length);
    ended++;
    if (status != 200) failed(at, "status %d", status);
    if (at >= begun + warm_up && (wanted || at < begun + warm_up + duration)) {
        statuses[status]++;
        if (status == 200) {
            counted++;
            if (latency_count == latency_room)
                latencies = sized(latencies, (latency_room *= 2) * sizeof *latencies);
            latencies[latency_count++] = (at - c->started) * 1e3;
        }
    }
    if (status == 200 && at - begun < MAX_SECONDS) timeline[(int)(at - begun)]++;
    if (closes) disconnect(c);
    begin(c, at);
}

/* Whether the bytes held are a whole answer, which then is taken; ``over``: no more will come. */
static int take(struct Connection *c, int over) {
    char *end = c->held ? memmem(c->in, c->held, "\r\n\r\n", 4) : NULL;
    if (!end) return 0;
    int status = c->held > 12 && !strncmp(c->in, "HTTP/1.", 7) ? atoi(c->in + 9) : 0;
    if (status < 200 || status >= MAX_STATUS) {
        fail(c, now(), "malformed answer", 0);
        return 1;
    }
    const char *length = header(c->in, end, "content-length");
    const char *coding = header(c->in, end, "transfer-encoding");
    const char *lasting = header(c->in, end, "connection");
    int closes = lasting ? !strncasecmp(lasting, "close", 5) : c->in[7] == '0';
    char *body = end + 4;
    size_t held = c->in + c->held - body;
    ssize_t size = length ? atol(length) : (ssize_t)held;
    if (coding && !strncasecmp(coding, "chunked", 7)) {
        char *copy = sized(NULL, held + 1); /* unchunking what is incomplete would spoil it */
        memcpy(copy, body, held);
        copy[held] = 0;
        size = unchunked(copy, held);
        if (size >= 0) answered(c, status, copy, size, closes || over);
        if (size == -2) fail(c, now(), "malformed chunks", 0);
        free(copy);
        return size != -1;
    }
    if (length ? (size_t)size > held : !over) return 0;
    if ((size_t)size < held) {
        fail(c, now(), "more than an answer", 0);
        return 1;
    }
    answered(c, status, body, size, closes || over);
    return 1;
}

static void receive(struct Connection *c) {
    for (;;) {
        if (c->room - c->held < 4096) c->in = sized(c->in, (c->room = c->room * 2 + 8192));
        ssize_t n = recv(c->fd, c->in + c->held, c->room - c->held - 1, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            fail(c, now(), c->held ? "broken answer" : "no answer", errno);
            return;
        }
        if (n == 0) {
            if (!take(c, 1)) fail(c, now(), c->held ? "closed in answer" : "closed", 0);
            return;
        }
        c->held += n;
        c->in[c->held] = 0;
        if (take(c, 0)) return;
    }
}

static void serve(struct Connection *c, uint32_t events) {
    if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail(c, now(), "connect", error);
            return;
        }
        c->state = SENDING;
    }
    if (c->state == SENDING && events & EPOLLOUT) transmit(c);
    if (c->state == WAITING) disconnect(c); /* the server closed what has no request any more */
    else if (c->state != CONNECTING && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
}

static void sweep(double at) {
    for (struct Connection *c = connections; c < connections + connection_count; c++) {
        if (c->state == WAITING && c->resume <= at) begin(c, at);
        if (c->state != WAITING && at - c->started > timeout) fail(c, at, "timeout", 0);
    }
}

static void run(void) {
    struct epoll_event events[256];
    double swept = begun = now();
    for (int i = 0; i < connection_count; i++) begin(connections + i, begun);
    for (double at = begun; wanted ? ended < wanted : at < begun + warm_up + duration; at = now()) {
        int n = epoll_wait(poll_fd, events, 256, RETRY_SECONDS * 1e3);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) serve(events[i].data.ptr, events[i].events);
        if (n <= 0 || at - swept > SWEEP_SECONDS) sweep(swept = now());
    }
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    uint32_t length;
    while (fread(&length, sizeof length, 1, file) == 1) {
        char *bytes = sized(NULL, length + 1);
        if (fread(bytes, 1, length, file) != length) die(path);
        requests = sized(requests, (request_count + 1) * sizeof *requests);
        requests[request_count++] = (struct Request){bytes, length};
    }
    fclose(file);
    if (!request_count) die("no requests");
}

static void write_answers(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    for (struct Answer *a = answers; a < answers + answer_room; a++)
        if (a->entry.count) {
            fwrite(&a->entry, sizeof a->entry, 1, file);
            fwrite(a->body, 1, a->entry.length, file);
        }
    if (fclose(file)) die(path);
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(double part) {
    if (!latency_count) return 0;
    size_t below = part * latency_count;
    return latencies[below && below == part * latency_count ? below - 1 : below];
}

static void report(double seconds) {
    qsort(latencies, latency_count, sizeof *latencies, rising);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"rate\": %.3f",
           (unsigned long long)counted, seconds, counted / seconds);
    printf(", \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f",
           quantile(.5), quantile(.9), quantile(.99), quantile(1));
    printf(", \"reconnects\": %llu, \"client_cpu_seconds\": %.3f, \"statuses\": {",
           (unsigned long long)reconnects,
           used.ru_utime.tv_sec + used.ru_stime.tv_sec +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
    const char *comma = "";
    for (int i = 0; i < MAX_STATUS; i++)
        if (statuses[i]) {
            printf("%s\"%d\": %llu", comma, i, (unsigned long long)statuses[i]);
            comma = ", ";
        }
    printf("}, \"failed\": %zu, \"failures\": [", failure_count);
    size_t shown = failure_count < MAX_FAILURES ? failure_count : MAX_FAILURES;
    for (size_t i = 0; i < shown; i++)
        printf("%s[%.4f, \"%s\"]", i ? ", " : "", failures[i].at, failures[i].kind);
    printf("], \"answered_in_second\": [");
    int last = now() - begun;
    for (int i = 0; i <= last && i < MAX_SECONDS; i++)
        printf("%s%u", i ? ", " : "", timeline[i]);
    printf("]}\n");
}

int main(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "p:c:d:n:w:s:t:")) != -1;) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'c': connection_count = atoi(optarg); break;
            case 'd': duration = atof(optarg); break;
            case 'n': wanted = strtoull(optarg, NULL, 10); break;
            case 'w': warm_up = atof(optarg); break;
            case 's': seed = strtoull(optarg, NULL, 10); break;
            case 't': timeout = atof(optarg); break;
            default: return 2;
        }
    if (argc - optind != 2 || !port || connection_count < 1 || (!duration && !wanted)) {
        fprintf(stderr, "load: see the head of load.c\n");
        return 2;
    }
    read_requests(argv[optind]);
    answers = calloc(answer_room, sizeof *answers);
    connections = calloc(connection_count, sizeof *connections);
    timeline = calloc(MAX_SECONDS, sizeof *timeline);
    failures = calloc(MAX_FAILURES, sizeof *failures);
    latencies = sized(NULL, latency_room * sizeof *latencies);
    if (!answers || !connections || !timeline || !failures) die("memory");
    for (int i = 0; i < connection_count; i++) connections[i].fd = -1;
    if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");
    run();
    report(wanted ? now() - begun - warm_up : duration);
    write_answers(argv[optind + 1]);
    return 0;
}
