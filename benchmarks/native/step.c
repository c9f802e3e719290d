/* The specified step (docs/spec.md, S3 to S8) in C, written for speed alone: the reference for the speed of alsim.
 *
 * Learners are structs of arrays, processed in blocks whose rows stay in the L1 cache; each phase is a loop that
 * vectorises. Parameters are constants: the defaults of the specification. Unlike alsim, it does not validate, reset,
 * record or allocate, and the mean mastery is float32.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 128, OUTCOMES = 30, WIDTH = OUTCOMES + 2, MOST_STEPS = 140, INTERACTION = 2 };

typedef struct {
    int64_t lanes;
    uint64_t seed;
    /* The learners, one number per lane. */
    float *rows; /* observation (S8.1), WIDTH per lane: masteries, frustration, response time / 120 s */
    float *ability, *frustration, *response_time, *mastery_sum;
    int32_t *fail_streak;
    uint32_t *step;
    const uint32_t *episode, *learner;
    /* The bank: the cell of each action, and the parameters of each item; items are sorted by cell. */
    const int32_t *first;   /* first item of the action's cell */
    const uint32_t *meaning; /* items in the cell << 16 | outcome << 2 | hard << 1 | is a question */
    const float *steepness; /* a of a question, effectiveness of a content */
    const float *place;     /* b of a question, impact of a content */
    const float *guessing;  /* c of a question */
    const float *time_mean, *time_std;
    /* Inputs and outputs. */
    const int64_t *actions;
    float *observations, *rewards;
    uint8_t *terminated, *truncated;
} World;

typedef struct {
    float answer[BLOCK], radius[BLOCK], angle[BLOCK], mastery[BLOCK];
    float steepness[BLOCK], place[BLOCK], guessing[BLOCK], time_mean[BLOCK], time_std[BLOCK];
    uint32_t pick[BLOCK], meaning[BLOCK];
    int32_t cell[BLOCK];
} Scratch;

/* The midpoint of one of 2^23 equal parts of (0, 1). */
static inline float uniform(uint32_t word) { return ((float)(int32_t)(word >> 9) + 0.5f) * 0x1p-23f; }

/* Normal variate by Box and Muller. The angle is shifted by half a turn, so that the argument of cos is smaller. */
static inline float normal(float radius, float angle) {
    return -sqrtf(-2.0f * logf(radius)) * cosf(6.28318531f * (angle - 0.5f));
}

/* Philox4x32-10 of (step, episode, learner, INTERACTION) under the seed (S11.1). */
static inline void draw(const World *w, Scratch *s, int64_t at, int count) {
    const uint32_t *step = w->step + at, *episode = w->episode + at, *learner = w->learner + at;
    const uint32_t low = (uint32_t)w->seed, high = (uint32_t)(w->seed >> 32);
#pragma omp simd
    for (int i = 0; i < count; i++) {
        uint32_t c0 = step[i], c1 = episode[i], c2 = learner[i], c3 = INTERACTION, k0 = low, k1 = high;
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const uint64_t p = (uint64_t)c0 * 0xD2511F53u, q = (uint64_t)c2 * 0xCD9E8D57u;
            c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)q;
            c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)p;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        s->answer[i] = uniform(c0);
        s->radius[i] = uniform(c1);
        s->pick[i] = c2;
        s->angle[i] = uniform(c3);
    }
}

/* Copy each lane's item, and the mastery of its learning outcome, into the block (S3). */
static inline void gather(const World *w, Scratch *s, int64_t at, int count) {
    const int64_t *actions = w->actions + at;
    const float *rows = w->rows + at * WIDTH;
    const int32_t *first = w->first;
    const uint32_t *meanings = w->meaning;
    const float *steepness = w->steepness, *place = w->place, *guessing = w->guessing;
    const float *time_mean = w->time_mean, *time_std = w->time_std;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const int32_t action = (int32_t)actions[i];
        const uint32_t meaning = meanings[action];
        const int32_t item = first[action] + (int32_t)((uint64_t)s->pick[i] * (meaning >> 16) >> 32);
        const int32_t cell = i * WIDTH + (int32_t)(meaning >> 2 & 0x3FFF);
        s->meaning[i] = meaning;
        s->cell[i] = cell;
        s->mastery[i] = rows[cell];
        s->steepness[i] = steepness[item];
        s->place[i] = place[item];
        s->guessing[i] = guessing[item];
        s->time_mean[i] = time_mean[item];
        s->time_std[i] = time_std[item];
    }
}

/* Apply the interaction of each learner in the block (S4 to S7). */
static inline void advance(const World *w, Scratch *s, int64_t at, int count) {
    float *restrict ability = w->ability + at, *restrict frustration = w->frustration + at;
    float *restrict response_time = w->response_time + at, *restrict sums = w->mastery_sum + at;
    float *restrict rewards = w->rewards + at;
    int32_t *restrict fail_streak = w->fail_streak + at;
    uint32_t *restrict steps = w->step + at;
    uint8_t *restrict terminated = w->terminated + at, *restrict truncated = w->truncated + at;
#pragma omp simd
    for (int i = 0; i < count; i++) {
        const int question = s->meaning[i] & 1, hard = s->meaning[i] >> 1 & 1;
        const float before = s->mastery[i], c = s->guessing[i], left = 1.0f - before;
        const float noise = normal(s->radius[i], s->angle[i]);
        const float p = c + (1.0f - c) / (1.0f + expf(-s->steepness[i] * (ability[i] - s->place[i])));
        const int correct = question & (s->answer[i] < p);
        const float effect = s->steepness[i] * left * (1.0f - 0.5f * frustration[i]) + 0.02f * noise;
        const float studied = effect > 0.0f ? effect : 0.0f;
        const float risen = before + (question ? (correct ? 0.05f * left : 0.0f) : studied);
        const float after = risen < 1.0f ? risen : 1.0f, gain = after - before;
        const float rise = hard & (before < 0.5f) ? 0.10f + 0.05f : 0.10f;
        const float moved = frustration[i] + (question ? (correct ? -0.05f : rise) : s->place[i]);
        const float held = moved < 1.0f ? moved : 1.0f, felt = held > 0.0f ? held : 0.0f;
        const float took = s->time_mean[i] + s->time_std[i] * noise;
        const float seconds = took > 5.0f ? took : 5.0f;
        const float share = seconds * (1.0f / 120.0f), observed = share < 1.0f ? share : 1.0f;
        const float sum = sums[i] + gain;
        const uint32_t step = steps[i] + 1;
        rewards[i] = question ? (correct ? 1.0f : 0.0f) + 0.5f * gain - 0.3f * felt : 2.0f * gain - 0.5f * s->place[i];
        s->mastery[i] = after;
        ability[i] += correct ? 0.02f : 0.0f;
        frustration[i] = felt;
        response_time[i] = question ? observed : response_time[i];
        fail_streak[i] = question & !correct ? fail_streak[i] + 1 : 0;
        sums[i] = sum;
        steps[i] = step;
        const int mastered = sum >= 0.8f * OUTCOMES, over = step >= MOST_STEPS;
        truncated[i] = over & !mastered;
        terminated[i] = mastered | (!over & (felt >= 0.95f));
    }
}

/* Update the learners' rows, and copy them to the observations (S8.1). */
static inline void observe(const World *w, const Scratch *s, int64_t at, int count) {
    float *rows = w->rows + at * WIDTH;
    const float *frustration = w->frustration + at, *response_time = w->response_time + at;
    for (int i = 0; i < count; i++) {
        rows[s->cell[i]] = s->mastery[i];
        rows[i * WIDTH + OUTCOMES] = frustration[i];
        rows[i * WIDTH + OUTCOMES + 1] = response_time[i];
    }
    memcpy(w->observations + at * WIDTH, rows, sizeof(float) * WIDTH * count);
}

void step(const World *w) {
    Scratch scratch;
    for (int64_t at = 0; at < w->lanes; at += BLOCK) {
        const int count = w->lanes - at < BLOCK ? (int)(w->lanes - at) : BLOCK;
        draw(w, &scratch, at, count);
        gather(w, &scratch, at, count);
        advance(w, &scratch, at, count);
        observe(w, &scratch, at, count);
    }
}

/* Draw the random numbers of a step only: a lower bound for its cost. */
float draw_only(const World *w) {
    Scratch scratch;
    float total = 0.0f;
    for (int64_t at = 0; at < w->lanes; at += BLOCK) {
        const int count = w->lanes - at < BLOCK ? (int)(w->lanes - at) : BLOCK;
        draw(w, &scratch, at, count);
#pragma omp simd reduction(+ : total)
        for (int i = 0; i < count; i++)
            total += scratch.answer[i] + (float)scratch.pick[i] + normal(scratch.radius[i], scratch.angle[i]);
    }
    return total;
}
