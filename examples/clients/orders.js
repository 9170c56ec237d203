// Sends three orders, and reads them as a member of a group. KafkaJS; the address is in the environment.
const { Kafka, logLevel } = require('kafkajs');

const kafka = new Kafka({ brokers: process.env.KAFKA_BOOTSTRAP_SERVERS.split(','), logLevel: logLevel.NOTHING });

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 1 }] });
  await admin.disconnect();

  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: 'orders', messages: [{ value: 'tea' }, { value: 'milk' }, { value: 'bread' }] });
  await producer.disconnect();

  const consumer = kafka.consumer({ groupId: 'billing' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'orders', fromBeginning: true });
  const orders = [];
  await new Promise((enough) => consumer.run({
    eachMessage: async ({ message }) => {
      orders.push(message.value.toString());
      if (orders.length === 3) enough();
    },
  }));
  await consumer.disconnect();
  console.log(orders.join(' '));
}

main();
