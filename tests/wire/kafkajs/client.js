// KafkaJS against `pykafka serve`: produces, reads alone and in a group, seeks, asks, errs. A line a step; whatever is
// not as it should be ends the program. Argument: the bootstrap address.
const assert = require('assert');
const { Kafka, logLevel, CompressionTypes } = require('kafkajs');

const PARTITIONS = 4;
const kafka = new Kafka({
  clientId: 'js', brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 3, initialRetryTime: 100 },
  connectionTimeout: 30000,
});
const end = Date.now() + 100000;

async function until(what, holds) {
  while (!await holds()) {
    assert(Date.now() < end, what);
    await new Promise((done) => setTimeout(done, 20));
  }
}

async function produce() {
  let sent = 0;
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    for (const idempotent of [true, false]) {
      const producer = kafka.producer({ idempotent });
      await producer.connect();
      const messages = [];
      for (let number = 0; number < 20; number++) {
        const value = `${compression} ${idempotent} ${number}`;
        messages.push({ partition: number % PARTITIONS, key: 'k', value, headers: { h: 'x' } });
      }
      const acks = idempotent ? -1 : 1;
      await producer.send({ topic: 'js', compression, acks, messages });
      sent += messages.length;
      await producer.disconnect();
    }
  }
  console.log('produce');
  return sent;
}

async function member(group, found, owned) {
  const consumer = kafka.consumer({ groupId: group, heartbeatInterval: 200, rebalanceTimeout: 20000 });
  await consumer.connect();
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { owned.partitions = (payload.memberAssignment.js || []).length; });
  await consumer.subscribe({ topic: 'js', fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      assert(message.key.toString() === 'k' && message.headers.h.toString() === 'x', 'a record');
      const record = `${partition}:${message.offset}`;
      found.set(record, (found.get(record) || 0) + 1);
    },
  });
  return consumer;
}

async function group(admin, sent) {
  const found = new Map();
  const owned = [{ partitions: 0 }, { partitions: 0 }];
  const first = await member('js', found, owned[0]);
  await until('all to the first', () => owned[0].partitions === PARTITIONS && found.size === sent);
  const second = await member('js', found, owned[1]);
  await until('half each', () => owned[0].partitions === 2 && owned[1].partitions === 2);
  const { groups: [described] } = await admin.describeGroups(['js']);
  assert(described.state === 'Stable' && described.members.length === 2 && described.protocolType === 'consumer', 'the group');
  await second.disconnect();
  await until('all again', () => owned[0].partitions === PARTITIONS);
  await first.disconnect();
  for (const [record, times] of found) assert.strictEqual(times, 1, `read once: ${record}`);
  const [{ partitions }] = await admin.fetchOffsets({ groupId: 'js', topics: ['js'] });
  assert(partitions.every((each) => Number(each.offset) === sent / PARTITIONS), 'committed');
  console.log('group');
}

async function seek() {
  const consumer = kafka.consumer({ groupId: 'seek', heartbeatInterval: 200 });
  await consumer.connect();
  await consumer.subscribe({ topic: 'js', fromBeginning: true });
  const offsets = [];
  let sought = false;
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => { if (sought && partition === 1) offsets.push(Number(message.offset)); },
  });
  consumer.seek({ topic: 'js', partition: 1, offset: '7' });
  sought = true;
  await until('seek', () => offsets.includes(7));
  await consumer.disconnect();
  console.log('seek');
}

async function ask(admin, sent) {
  const offsets = await admin.fetchTopicOffsets('js');
  assert(offsets.every((each) => Number(each.high) === sent / PARTITIONS), 'offsets');
  const early = await admin.fetchTopicOffsetsByTimestamp('js', 1);
  assert(early.every((each) => Number(each.offset) === 0), 'offsets for a time');
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: ['js'] });
  assert(described.partitions.length === PARTITIONS, 'topics');
  const { resources: [{ configEntries }] } = await admin.describeConfigs({ resources: [{ type: 2, name: 'js' }] });
  assert(configEntries.find((each) => each.configName === 'max.message.bytes').configValue === '20000', 'configs');
  const changed = [{ name: 'retention.ms', value: '5000000' }, { name: 'max.message.bytes', value: '20000' }];
  await admin.alterConfigs({ resources: [{ type: 2, name: 'js', configEntries: changed }] });
  await admin.createPartitions({ topicPartitions: [{ topic: 'js', count: PARTITIONS + 1 }] });
  await admin.deleteTopicRecords({ topic: 'js', partitions: [{ partition: 0, offset: '2' }] });
  await admin.setOffsets({ groupId: 'other', topic: 'js', partitions: [{ partition: 0, offset: '3' }] });
  const { groups } = await admin.listGroups();
  assert(groups.some((each) => each.groupId === 'other'), 'groups');
  await admin.deleteGroups(['other']);
  const { brokers } = await admin.describeCluster();
  assert(brokers.length === 1, 'the cluster');
  console.log('ask');
}

async function fail(admin) {
  assert.strictEqual(await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 1 }] }), false);
  const producer = kafka.producer();
  await producer.connect();
  const large = producer.send({ topic: 'js', messages: [{ value: 'x'.repeat(50000) }] });
  await assert.rejects(large, (error) => /MESSAGE_TOO_LARGE/.test(`${error.type} ${error.cause && error.cause.type}`));
  await producer.disconnect();
  console.log('fail');
}

async function transact() {
  const producer = kafka.producer({ transactionalId: 't', idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const refused = (error) => /TRANSACTIONAL_ID_AUTHORIZATION_FAILED/.test(`${error.type} ${error.cause && error.cause.type}`);
  await assert.rejects(producer.transaction(), refused);
  await producer.disconnect();
  console.log('transact');
}

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  const configEntries = [{ name: 'max.message.bytes', value: '20000' }];
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: PARTITIONS, configEntries }] });
  console.log('create');
  const sent = await produce();
  await group(admin, sent);
  await seek();
  await ask(admin, sent);
  await fail(admin);
  await transact();
  await admin.disconnect();
}

main().catch((error) => { console.error(error); process.exit(1); });
